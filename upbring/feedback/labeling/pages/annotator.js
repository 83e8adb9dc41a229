// Quality of one annotator's votes: consistency, care, agreement, biases.
import { $, element, notice } from "./elements.js";
import { get } from "./requests.js";

// [name, title, meaning, is it a bias (½ is none), shown without data]
const MEASURES = [
  ["self_consistency", "Agrees with own earlier vote", "hidden repeats of the same item", false],
  ["gold_accuracy", "Right on control items", "items whose ranking is known", false],
  ["agreement", "Agrees with others", "the same items, ranked by other people", false],
  ["prefers_upper", "Prefers the upper response", "position", true],
  ["prefers_longer", "Prefers the longer response", "length", true],
  ["faster_agrees", "Agrees with others, faster half", "speed: compare with the next line", false],
  ["slower_agrees", "Agrees with others, slower half", "", false],
];

function percent(value) {
  return value === null ? "–" : `${Math.round(100 * value)} %`;
}

function meaning(text, found, isBias) {
  if (!isBias || found.low === null || found.value === null) return text;
  if (found.low > 0.5 || found.high < 0.5) return `${text} bias: more than chance explains`;
  return `${text}: no bias beyond chance`;
}

function row([name, title, text, isBias], found) {
  const interval = found.low === null ? "–" : `${percent(found.low)} to ${percent(found.high)}`;
  return element("tr", {},
    element("th", { scope: "row", text: title }), element("td", { class: "number", text: percent(found.value) }),
    element("td", { text: interval }), element("td", { class: "number", text: found.count }),
    element("td", { text: meaning(text, found, isBias) }));
}

try {
  const id = new URLSearchParams(location.search).get("id");
  const found = await get(`/api/quality${id ? `?id=${encodeURIComponent(id)}` : ""}`);
  $("title").textContent = `Votes of ${found.name}${found.simulated ? " (simulated)" : ""}`;
  $("to-overview").hidden = !found.is_owner;
  const seconds = found.median_seconds === null ? "" : ` · median ${found.median_seconds.toFixed(1)} s per vote`;
  $("summary").textContent = `${found.num_votes} votes · ${found.num_ties} with ties · ${found.num_cannot_say} cannot say`
    + ` · ${found.num_skipped} skipped${seconds} · ${found.num_too_fast} faster than anyone reads`;
  $("measures").replaceChildren(...MEASURES.map((measure) => row(measure, found[measure[0]])));
  $("rows").hidden = false;
} catch (error) {
  $("title").textContent = "Quality of votes";
  notice(error.message, "bad");
}
