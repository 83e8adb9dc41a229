// The keyboard: single keys outside of text fields. `event.key` is used, so that keys mean what
// they say on every layout; keys of input methods and shortcuts of the browser are left alone.
import { $, element } from "./elements.js";

const LETTER_KEYS = "upbring-letter-keys";
const TEXT_FIELDS = "textarea, select, input:not([type=radio], [type=checkbox])";
const OWN_ENTER = "button, a, summary, input";

export const KEYS = [
  ["1 … 9", "place of the focused response; the same digit for two is a tie", "rank"],
  ["↑ ↓", "go to the response above or below", "rank"],
  ["Shift ↑ ↓", "move the response one place up or down", "rank"],
  ["Backspace", "take the response's place away", "rank"],
  ["Enter", "submit and go on", "rank"],
  ["← →", "the left or right response is better", "pair"],
  ["0", "both are equally good", "pair"],
  ["Enter", "submit “all bad” without a choice", "pair"],
  ["B", "all responses are bad (with or without a ranking)", ""],
  ["X", "cannot say", ""],
  ["S", "skip", ""],
  ["U", "undo the latest vote", ""],
  ["F", "flag the response: harmful, false, private data", ""],
  ["E, W", "edit the response into an ideal one, or write one", ""],
  ["C", "comment", ""],
  ["D, R, V", "differences, raw text, side by side", ""],
  ["Esc", "leave a text field", ""],
  ["Ctrl Enter", "submit from a text field", ""],
];

export function showKeys(isPair) {
  const rows = KEYS.filter(([, , mode]) => mode === "" || (mode === "pair") === isPair);
  $("help-keys").replaceChildren(...rows.flatMap(([key, text]) => [
    element("span", {}, ...key.split(/[ ,]+/).filter((part) => part).flatMap((part) => [element("kbd", { text: part }), " "])),
    element("span", { text }),
  ]));
}

export function areSingleKeysOn() {
  return localStorage.getItem(LETTER_KEYS) !== "off";
}

export function setSingleKeys(isOn) {
  localStorage.setItem(LETTER_KEYS, isOn ? "on" : "off");
}

// `page` has an action per key; `page.cards()` are the current cards or null.
export function listen(page) {
  document.addEventListener("keydown", (event) => {
    if (event.isComposing || event.defaultPrevented || $("help-dialog").open) return;
    const isInText = event.target.matches?.(TEXT_FIELDS);
    const isCommand = event.ctrlKey || event.metaKey;
    if (event.key === "Escape" && isInText) page.leaveField();
    else if (event.key === "Enter" && isCommand) page.submit();
    else if (isInText || isCommand || event.altKey || !press(page, event)) return;
    event.preventDefault();
  });
}

// Returns whether the key meant something.
function press(page, event) {
  const cards = page.cards();
  if (event.key === "?") return page.help();
  if (event.repeat || !cards) return event.key.toLowerCase() === "u" && !event.repeat && areSingleKeysOn() && page.undo();
  if (cards.isPair ? pressPair(page, event) : pressRanking(page, cards, event)) return true;
  if (!areSingleKeysOn()) return false;
  const action = page.letters[event.key.toLowerCase()];
  if (!action) return false;
  action(cards.target());
  return true;
}

function pressPair(page, event) {
  if (event.key === "Enter" && page.cards().ballot.allBad && !event.target.matches(OWN_ENTER)) return page.submit();
  const places = { ArrowLeft: [1, 2], ArrowRight: [2, 1], 0: [1, 1] }[event.key];
  if (!places || event.target.matches(".text")) return false;
  page.choose(places);
  return true;
}

function pressRanking(page, cards, event) {
  const { key } = event;
  const { ballot } = cards;
  const index = cards.target();
  if (/^[1-9]$/.test(key) && Number(key) <= ballot.count && areSingleKeysOn()) {
    cards.place(index, Number(key));
    const missing = ballot.missing();
    const next = missing.find((i) => i > index) ?? missing[0];
    if (next === undefined) $("submit").focus();
    else cards.focus(next, event.target.matches(".places input"));
    return true;
  }
  if (key === "Enter" && !event.target.matches(OWN_ENTER)) return page.submit();
  const card = cards.cards.indexOf(document.activeElement);
  if (key === "ArrowDown" || key === "ArrowUp") {
    if (card < 0) return false;
    const step = key === "ArrowDown" ? 1 : -1;
    if (event.shiftKey) cards.move(card, step);
    else cards.focus((card + step + ballot.count) % ballot.count);
    return true;
  }
  if ((key === "Backspace" || key === "Delete") && card >= 0) {
    cards.place(card, null);
    return true;
  }
  return false;
}
