// The responses as cards, and the tray of places below them. Excluded: keys (`keys.js`).
import { LETTERS, REASONS } from "./ballot.js";
import { markDifferences, sameButSpace } from "./differences.js";
import { onDragStart, startDrag } from "./dragging.js";
import { $, element, key, say } from "./elements.js";
import { renderMarkdown } from "./markdown.js";

const LONG_CHARACTERS = 700; // responses longer than that are shown side by side

export class Cards {
  // `actions` has change(), edit(index), choose(index): what the page does.
  constructor(ballot, actions) {
    this.ballot = ballot;
    this.actions = actions;
    this.isPair = ballot.count === 2;
    this.current = 0;
  }

  render(view) {
    const { responses } = this.ballot.item;
    const same = sameButSpace(responses);
    this.cards = responses.map((text, index) => this.makeCard(index, same[index]));
    $("responses").replaceChildren(...this.cards);
    this.makeTray();
    this.renderTexts(view);
    this.update();
  }

  makeCard(index, same) {
    const letter = LETTERS[index];
    const handle = element("span", { class: "handle", id: `name-${index}`, title: "Drag to a place" },
      element("span", { class: "hidden", text: "Response " }), letter);
    onDragStart(handle, (event) => this.drag(event, index));
    const head = element("div", { class: "head" }, element("h2", {}, handle),
      element("span", { class: "hidden", id: `state-${index}` }),
      this.isPair ? null : this.makePlaces(index),
      same < 0 ? null : element("span", { class: "same", text: `Same as ${LETTERS[same]} but for white space` }),
      this.makeButtons(index));
    const card = element("article", { class: "card", tabindex: "0", "aria-labelledby": `name-${index} state-${index}` },
      head, element("div", { class: "text", id: `text-${index}` }), this.makeFlags(index));
    card.addEventListener("focusin", () => { this.current = index; });
    // A response is spoken when the focus comes back; at first, its prompt comes before it.
    const speakText = () => card.setAttribute("aria-describedby", `text-${index}`);
    if (index > 0) speakText();
    else card.addEventListener("focusout", speakText, { once: true });
    return card;
  }

  makePlaces(index) {
    const letter = LETTERS[index];
    const set = element("fieldset", { class: "places" }, element("legend", { class: "hidden", text: `Place of response ${letter}` }));
    for (let place = 1; place <= this.ballot.count; place++) {
      const input = element("input", { type: "radio", name: `place-${index}`, value: place, change: () => this.place(index, place, true) });
      const hint = place === 1 ? " (best)" : "";
      set.append(element("label", {}, input,
        element("span", { "aria-hidden": "true", text: place }), element("span", { class: "hidden", text: `Place ${place}${hint}` })));
    }
    return set;
  }

  makeButtons(index) {
    const letter = LETTERS[index];
    const box = element("span", { class: "push" });
    if (!this.isPair) {
      box.append(
        element("button", { type: "button", "aria-label": `Move ${letter} up: better`, title: "Better (Shift ↑)", text: "▲", click: () => this.move(index, -1) }),
        element("button", { type: "button", "aria-label": `Move ${letter} down: worse`, title: "Worse (Shift ↓)", text: "▼", click: () => this.move(index, 1) }));
    }
    box.append(
      element("button", { type: "button", title: "Write the ideal response from this text", click: () => this.actions.edit(index) },
        "Edit ", element("span", { class: "hidden", text: letter }), key("E")),
      element("button", { type: "button", "aria-expanded": "false", id: `flag-${index}`, click: () => this.flag(index) },
        "Flag ", element("span", { class: "hidden", text: letter }), key("F")));
    return box;
  }

  makeFlags(index) {
    const set = element("fieldset", { class: "flags" }, element("legend", { text: `Response ${LETTERS[index]} is` }));
    set.append(...flagBoxes(this.ballot, String(index), () => this.actions.change()));
    set.hidden = !REASONS.some(([reason]) => this.ballot.flags.has(`${index} ${reason}`));
    return set;
  }

  makeTray() {
    if (this.isPair) {
      const [left, right] = [[1, 2], [2, 1]];
      $("tray").replaceChildren(
        element("button", { type: "button", "aria-keyshortcuts": "ArrowLeft", click: () => this.actions.choose(left) }, "A is better ", key("←")),
        element("button", { type: "button", "aria-keyshortcuts": "0", click: () => this.actions.choose([1, 1]) }, "Equally good ", key("0")),
        element("button", { type: "button", "aria-keyshortcuts": "ArrowRight", click: () => this.actions.choose(right) }, "B is better ", key("→")));
      return;
    }
    this.slots = Array.from({ length: this.ballot.count }, (_, at) => {
      const slot = element("div", { class: "slot" });
      slot.dataset.place = at + 1;
      slot.addEventListener("click", () => this.place(this.current, at + 1));
      return slot;
    });
    $("tray").replaceChildren(...this.slots);
  }

  renderTexts(view) {
    const { responses } = this.ballot.item;
    const longest = Math.max(...responses.map((text) => text.length));
    $("responses").classList.toggle("columns", view.columns ?? (this.isPair || longest > LONG_CHARACTERS));
    const boxes = this.cards.map((card) => card.querySelector(".text"));
    boxes.forEach((box, index) => {
      box.classList.toggle("plain", view.raw);
      if (view.raw) box.textContent = responses[index];
      else renderMarkdown(box, responses[index]);
    });
    if (view.differences) markDifferences(boxes);
    boxes.forEach((box, index) => makeScrollable(box, `Text of response ${LETTERS[index]}`));
  }

  // Shows the places of the ballot.
  update() {
    const { places, count } = this.ballot;
    this.cards.forEach((card, index) => {
      const place = places[index];
      card.classList.toggle("placed", place !== null);
      card.classList.toggle("first", place === 1);
      $(`state-${index}`).textContent = this.isPair ? "" : describe(this.ballot, index);
      for (const input of card.querySelectorAll(".places input")) input.checked = Number(input.value) === place;
    });
    if (this.isPair) return;
    this.slots.forEach((slot, at) => {
      const inside = [...places.keys()].filter((i) => places[i] === at + 1);
      const end = at === 0 ? "best" : at === count - 1 ? "worst" : "";
      slot.replaceChildren(element("span", { class: "number" }, `${at + 1} `, element("span", { class: "end", text: end })), ...inside.map((index) => {
        const chip = element("span", { class: "chip", text: LETTERS[index] });
        onDragStart(chip, (event) => this.drag(event, index, true));
        return chip;
      }));
    });
  }

  // `isSpoken`: the control that was used says the place itself; what remains is the tie.
  place(index, place, isSpoken = false) {
    this.ballot.places[index] = place;
    this.current = index;
    this.update();
    this.actions.change();
    if (!isSpoken || this.ballot.tiedWith(index).length) say(`Response ${LETTERS[index]}: ${describe(this.ballot, index)}`);
  }

  // Moves a response one place up (−1) or down (1); the focus stays on it.
  move(index, step) {
    const place = this.ballot.places[index];
    const start = step < 0 ? 1 : this.ballot.count;
    this.place(index, place === null ? start : Math.min(this.ballot.count, Math.max(1, place + step)));
  }

  flag(index) {
    const set = this.cards[index].querySelector(".flags");
    set.hidden = !set.hidden;
    $(`flag-${index}`).setAttribute("aria-expanded", String(!set.hidden));
    (set.hidden ? this.cards[index] : set.querySelector("input")).focus();
  }

  // `atPlaces`: on its places, where a screen reader passes digits on, instead of the whole card.
  focus(index, atPlaces = false) {
    this.current = index;
    const card = this.cards[index];
    const input = atPlaces && (card.querySelector(".places input:checked") ?? card.querySelector(".places input"));
    (input || card).focus();
  }

  // The response that keys act on: the focused one, or else the first without a place.
  target() {
    const focused = this.cards.findIndex((card) => card.contains(document.activeElement));
    if (focused >= 0) return focused;
    return this.ballot.missing()[0] ?? this.current;
  }

  drag(event, index, isPlaced = false) {
    if (this.isPair) return;
    startDrag(event, LETTERS[index], {
      drop: (slot) => this.place(index, Number(slot.dataset.place)),
      outside: () => isPlaced && this.place(index, null),
      click: () => this.focus(index),
    });
  }
}

export function flagBoxes(ballot, response, change) {
  return REASONS.map(([reason, text]) => {
    const name = `${response} ${reason}`;
    const input = element("input", {
      type: "checkbox",
      change: () => {
        if (input.checked) ballot.flags.add(name);
        else ballot.flags.delete(name);
        change();
      },
    });
    input.checked = ballot.flags.has(name);
    return element("label", { class: "check" }, input, text);
  });
}

export function describe(ballot, index) {
  const place = ballot.places[index];
  if (place === null) return "no place yet";
  const ties = ballot.tiedWith(index).map((i) => LETTERS[i]);
  return `place ${place} of ${ballot.count}${ties.length ? `, tied with ${ties.join(" and ")}` : ""}`;
}

// A box that scrolls can be reached with the keyboard.
export function makeScrollable(box, label) {
  if (box.scrollHeight > box.clientHeight + 1) {
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", label);
  } else {
    for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
  }
}
