// The labeling page: loads an item, collects a ballot, sends it, shows the next.
import { Ballot, LETTERS } from "./ballot.js";
import { Cards, flagBoxes, makeScrollable } from "./cards.js";
import { $, clip, element, notice, say } from "./elements.js";
import { areSingleKeysOn, listen, setSingleKeys, showKeys } from "./keys.js";
import { renderMarkdown } from "./markdown.js";
import { get, newKey, post, RefusedError, sendVote, unsent } from "./requests.js";

const HEARTBEAT_SECONDS = 60;
const GROWING_SECONDS = 2;
const WAITING_SECONDS = 15;
const SHOWN_MILLISECONDS = 220; // a chosen side is seen before the next pair comes

let ballot = null;
let cards = null;
let isBusy = false;
let polling = null;
const view = { raw: false, differences: false, columns: null };

const page = {
  cards: () => (isBusy ? null : cards),
  letters: {
    x: () => send("cannot_say"),
    s: () => send("skipped"),
    u: () => page.undo(),
    b: () => $("all-bad").click(),
    f: (index) => cards.flag(index),
    e: (index) => edit(index),
    w: () => write(),
    c: () => openField("comment"),
    d: () => $("differences").click(),
    r: () => $("raw").click(),
    v: () => $("view").click(),
  },
  help() {
    showKeys(cards?.isPair ?? false);
    $("help-dialog").showModal();
    return true;
  },
  leaveField() {
    if (cards) cards.focus(cards.current);
  },
  submit() {
    submit();
    return true;
  },
  undo() {
    undo();
    return true;
  },
  choose,
};

async function start() {
  listen(page);
  $("letter-keys").checked = areSingleKeysOn();
  $("letter-keys").addEventListener("change", () => setSingleKeys($("letter-keys").checked));
  for (const [id, action] of Object.entries({
    undo: page.undo, help: page.help, submit: page.submit, write, decide,
    skip: () => send("skipped"), "cannot-say": () => send("cannot_say"),
  })) $(id).addEventListener("click", action);
  for (const name of ["raw", "differences"]) $(name).addEventListener("click", () => toggle(name, !view[name]));
  $("view").addEventListener("click", () => toggle("columns", !$("responses").classList.contains("columns")));
  $("all-bad").addEventListener("change", () => {
    ballot.allBad = $("all-bad").checked;
    changed();
    sayPressed("all-bad", "All bad", ballot.allBad);
  });
  $("ideal").addEventListener("input", () => { ballot.ideal = $("ideal").value; changed(); });
  $("comment").addEventListener("input", () => { ballot.comment = $("comment").value; changed(); });
  document.addEventListener("visibilitychange", () => {
    ballot?.setVisible(!document.hidden);
    if (!document.hidden) renew();
  });
  addEventListener("pageshow", (event) => { if (event.persisted) load(); });
  setInterval(renew, HEARTBEAT_SECONDS * 1000);
  const kept = unsent();
  if (kept) await deliver(kept);
  else await load();
}

async function load() {
  clearTimeout(polling);
  try {
    show(await get("/api/item"));
  } catch (error) {
    notice(error instanceof RefusedError ? error.message : "No connection to the server. The page tries again.", "bad");
    polling = setTimeout(load, GROWING_SECONDS * 1000);
  }
}

function show(reply, previous = null) {
  clearTimeout(polling);
  isBusy = false;
  $("progress").max = Math.max(1, reply.total);
  $("progress").value = reply.done;
  $("count").textContent = `${reply.done} of ${reply.total} · ${reply.annotator}`;
  document.title = `${reply.done} of ${reply.total} – Rank responses`;
  $("to-overview").hidden = !reply.is_owner;
  $("decide").hidden = !reply.adjudicates || reply.is_owner; // the owner decides from the overview
  for (const id of ["work", "bar"]) $(id).hidden = !reply.item;
  $("empty").hidden = Boolean(reply.item);
  if (reply.item) showItem(reply.item, previous, `Item ${reply.done + 1} of ${reply.total}.`);
  else showEmpty(reply);
}

function showItem(item, previous, spoken) {
  ballot = new Ballot(item, previous);
  cards = new Cards(ballot, { change: changed, edit, choose });
  const task = cards.isPair ? "Which response is better?" : `Rank the ${ballot.count} responses`;
  $("title").textContent = item.adjudication ? `Decide: ${task.toLowerCase()}` : task;
  $("task").textContent = cards.isPair
    ? "Choose the better one, or say that they are equally good."
    : "Give each a place: 1 is best, the same place is a tie.";
  showPrompt(item);
  cards.render(view);
  for (const [id, value] of [["ideal", ballot.ideal], ["comment", ballot.comment]]) $(id).value = value;
  $("all-bad").checked = ballot.allBad;
  $("prompt-flags").replaceChildren($("prompt-flags").querySelector("legend"), ...flagBoxes(ballot, "prompt", changed));
  $("more").open = Boolean(ballot.ideal || ballot.comment || [...ballot.flags].some((flag) => flag.startsWith("prompt")));
  showViewButtons();
  changed();
  scrollTo(0, 0);
  cards.focus(ballot.missing()[0] ?? 0);
  say(`${spoken} ${$("title").textContent}${cards.isPair ? "" : "."} Prompt: ${clip(item.prompt.at(-1).content)}`);
}

function showPrompt(item) {
  const turns = item.prompt.map(({ role, content }) => {
    const text = element("div", { class: "text" });
    if (view.raw) text.textContent = content;
    else renderMarkdown(text, content);
    text.classList.toggle("plain", view.raw);
    return element("div", { class: "turn" }, element("span", { class: "role", text: role === "user" ? "prompt" : role }), text);
  });
  const others = item.others?.length ? [element("div", { class: "others" },
    element("strong", { text: "Votes of others" }),
    element("ul", {}, ...item.others.map((vote) => element("li", { text: describeVote(vote) }))))] : [];
  $("prompt").replaceChildren(...turns, ...others);
  turns.forEach((turn) => makeScrollable(turn, "Prompt"));
}

function describeVote({ places, all_bad: allBad, comment }) {
  const tiers = [...new Set(places)].sort((a, b) => a - b);
  const order = tiers.map((tier) => places.flatMap((place, i) => (place === tier ? [LETTERS[i]] : [])).join(" = ")).join(" > ");
  return `${order}${allBad ? " (all bad)" : ""}${comment ? ` – “${comment}”` : ""}`;
}

function showEmpty(reply) {
  const hadItem = ballot !== null;
  ballot = cards = null;
  const texts = reply.growing
    ? ["Responses are being generated", "The first ones appear here in a moment."]
    : reply.done === reply.total
      ? ["All done. Thank you!", "Nothing is left to rank. You may close this page."]
      : ["Nothing for you right now", "What is left is with other people. It comes back if they stop."];
  const spoken = texts.join(" – ");
  if (hadItem || $("empty").firstElementChild?.textContent !== texts[0]) { // else it was said before
    $("title").textContent = "Rank the responses";
    const again = element("button", { type: "button", text: "Check again", click: () => load().then(() => ballot ?? say(spoken)) });
    $("empty").replaceChildren(element("h2", { text: texts[0] }), element("p", { text: texts[1] }), again);
    again.focus();
    say(spoken);
  }
  polling = setTimeout(load, (reply.growing ? GROWING_SECONDS : WAITING_SECONDS) * 1000);
}

function changed() {
  const isReady = ballot.isReady();
  $("submit").setAttribute("aria-disabled", String(!isReady));
  $("submit").hidden = cards.isPair && !ballot.allBad; // a pair is submitted by its choice
  ballot.keepDraft();
}

function toggle(name, value) {
  view[name] = value;
  showViewButtons();
  const id = name === "columns" ? "view" : name;
  sayPressed(id, $(id).firstChild.textContent.trim(), value);
  if (!cards) return;
  cards.renderTexts(view);
  if (name === "raw") showPrompt(ballot.item);
  showViewButtons();
}

function showViewButtons() {
  $("raw").setAttribute("aria-pressed", String(view.raw));
  $("differences").setAttribute("aria-pressed", String(view.differences));
  $("view").setAttribute("aria-pressed", String($("responses").classList.contains("columns")));
}

// A control that has the focus says so itself.
function sayPressed(id, name, isOn) {
  if (document.activeElement !== $(id)) say(`${name}: ${isOn ? "on" : "off"}`);
}

function openField(id) {
  $("more").open = true;
  $(id).focus();
}

function write() {
  openField("ideal");
}

function edit(index) {
  if (!ballot.ideal.trim() || ballot.edited !== null) {
    ballot.ideal = $("ideal").value = ballot.item.responses[index];
    ballot.edited = index;
    changed();
  }
  openField("ideal");
  say(`Editing response ${LETTERS[index]}`);
}

function submit() {
  if (!cards || isBusy) return;
  if (!ballot.isReady()) {
    const missing = ballot.missing().map((index) => LETTERS[index]).join(", ");
    notice(cards.isPair ? "Choose a response first." : `Give every response a place first; without one: ${missing}.`, "bad");
    cards.focus(ballot.missing()[0]);
    return;
  }
  send("ranked");
}

// A pair is one key: the choice is seen for a moment, then sent. Undo brings it back.
function choose(places) {
  if (isBusy) return;
  isBusy = true;
  ballot.places = places;
  cards.update();
  setTimeout(() => { isBusy = false; send("ranked"); }, SHOWN_MILLISECONDS);
}

function send(outcome) {
  if (isBusy || !ballot) return;
  isBusy = true;
  deliver({ key: newKey(), ticket: ballot.item.ticket, vote: ballot.toVote(outcome) });
}

function describeSaved({ outcome, places, all_bad: allBad }) {
  if (outcome !== "ranked") return outcome === "skipped" ? "Skipped." : "Saved: cannot say.";
  if (allBad) return "Saved: all bad.";
  if (places.length > 2) return "Saved.";
  return places[0] === places[1] ? "Saved: equally good." : `Saved: ${places[0] < places[1] ? "A" : "B"} is better.`;
}

async function deliver(vote) {
  isBusy = true;
  try {
    const reply = await sendVote(vote, (problem) => {
      notice(`${problem} Your vote is kept in this browser and sent again.`, "bad");
    });
    notice("");
    Ballot.forgetDraft();
    show(reply);
    say(`${describeSaved(vote.vote)} ${$("live").textContent}`);
  } catch (error) {
    isBusy = false;
    if (error.status === 409) Ballot.forgetDraft();
    await load();
    notice(`Not saved: ${error.message}`, "bad");
  }
}

async function undo() {
  if (isBusy) return;
  isBusy = true;
  try {
    const reply = await post("/api/undo", { key: newKey() });
    show(reply, reply.previous);
    notice("The latest vote is taken back. Change it and submit again.", "good");
  } catch (error) {
    isBusy = false;
    notice(error instanceof RefusedError ? error.message : "No connection to the server; nothing was undone.", "bad");
  }
}

// Shows the item on which votes disagree most.
async function decide() {
  if (isBusy) return;
  try {
    show(await post("/api/adjudicate", {}));
  } catch (error) {
    notice(error instanceof RefusedError ? error.message : "No connection to the server.");
  }
}

async function renew() {
  if (!ballot || isBusy) return;
  const { ticket } = ballot.item;
  try {
    const { held } = await post("/api/renew", { ticket });
    if (!held && ballot?.item.ticket === ticket && !isBusy) {
      await load();
      notice("The item was finished in another tab or given to someone else. This is the next one.");
    }
  } catch { /* the next heartbeat tries again; a vote would report the problem */ }
}

start();
