// The overview: progress, invitations, disagreements.
import { $, element, notice, say } from "./elements.js";
import { get, post } from "./requests.js";

const REFRESH_SECONDS = 5;
const AGREEMENT_SECONDS = 30;

async function refresh() {
  try {
    show(await get("/api/overview"));
    notice("");
  } catch (error) {
    notice(error.message, "bad");
  }
}

function show(found) {
  const closed = found.items - found.open;
  $("progress").max = Math.max(1, found.items);
  $("progress").value = closed;
  const parts = [
    `${closed} of ${found.items} items finished`, `${found.votes} votes`, `${found.demonstrations} ideal responses`,
    `${found.flags} flags`, `${found.comments} comments`,
  ];
  $("summary").textContent = parts.join(" · ") + (found.growing ? " · more responses are being generated" : "");
  keepFocus($("annotators"), found.annotators.map(annotatorRow));
  $("no-disputes").hidden = found.disputes.length > 0;
  $("dispute-table").hidden = found.disputes.length === 0;
  keepFocus($("disputes"), found.disputes.map(disputeRow));
}

async function showAgreement() {
  try {
    const found = await get("/api/agreement");
    const number = (value) => (value === null ? "unknown" : value.toFixed(2));
    $("agreement").textContent = found.num_items === 0
      ? "No item is ranked by two people yet."
      : `${Math.round(100 * found.percent)} % of pairs are ordered the same way · Fleiss’ κ ${number(found.kappa)}`
        + ` · Krippendorff’s α of rankings ${number(found.alpha)} (items: ${found.num_items}, annotators: ${found.num_annotators})`;
  } catch (error) {
    notice(error.message, "bad");
  }
}

function annotatorRow(each) {
  const kind = each.simulated ? "simulated" : each.is_owner ? "you" : each.adjudicates ? "adjudicator" : "annotator";
  const link = each.is_owner || each.simulated ? null
    : element("button", { type: "button", id: `link-${each.id}`, click: () => invite(each.name, false) }, "Show ", element("span", { class: "hidden", text: `the link of ${each.name}` }));
  return element("tr", {},
    element("th", { scope: "row" }, element("a", { id: `quality-${each.id}`, href: `/annotator?id=${each.id}`, text: each.name })),
    element("td", { class: "number", text: each.votes }), element("td", { text: kind }), element("td", {}, link));
}

function disputeRow(each) {
  return element("tr", {},
    element("th", { scope: "row", id: `prompt-${each.item}`, text: each.prompt }), element("td", { class: "number", text: each.votes }),
    element("td", { class: "number", text: `${Math.round(100 * each.disagreement)} %` }),
    element("td", {}, element("button", { type: "button", id: `decide-${each.item}`, "aria-describedby": `prompt-${each.item}`, click: () => decide(each.item) }, "Decide")));
}

// Replaces rows without losing the keyboard's place, and equal ones not at all: a screen reader may be at one.
function keepFocus(body, rows) {
  const isSame = rows.length === body.children.length && rows.every((row, i) => row.isEqualNode(body.children[i]));
  if (isSame) return;
  const focused = body.contains(document.activeElement) ? document.activeElement.id : null;
  body.replaceChildren(...rows);
  if (focused) $(focused)?.focus();
}

async function decide(item) {
  try {
    await post("/api/adjudicate", { item });
    location.assign("/");
  } catch (error) {
    notice(error.message, "bad");
  }
}

async function invite(name, adjudicates) {
  try {
    const made = await post("/api/annotators", { name, adjudicates });
    $("link-label").textContent = `Link for ${made.name}`;
    $("link").value = `${location.origin}/?token=${encodeURIComponent(made.token)}`;
    $("link-box").hidden = false;
    $("link").focus();
    $("link").select();
    $("name").value = "";
    await refresh();
    say(`Link for ${made.name} is ready`);
  } catch (error) {
    notice(error.message, "bad");
  }
}

$("invite").addEventListener("submit", (event) => {
  event.preventDefault();
  invite($("name").value, $("adjudicates").checked);
});
$("copy").addEventListener("click", async () => {
  $("link").select();
  try {
    await navigator.clipboard.writeText($("link").value);
    say("Copied");
    $("copy").textContent = "Copied";
  } catch {
    say("Copy the selected text");
  }
});
refresh();
showAgreement();
setInterval(() => { if (!document.hidden) showAgreement(); }, AGREEMENT_SECONDS * 1000);
setInterval(() => { if (!document.hidden) refresh(); }, REFRESH_SECONDS * 1000);
