// The chat page: one dialogue, with one model or with two whose names are hidden.
import { $, clip, element, notice, say } from "./elements.js";
import { renderMarkdown } from "./markdown.js";
import { readDialogues, readSettings, removeDialogue, saveDialogue, saveSettings, titleOf } from "./chat_history.js";
import { listModels, sendChoice, startComparison, streamChat, streamSide } from "./chat_requests.js";

const FIELDS = ["system", "temperature", "top_p", "max_tokens", "seed", "model", "rival"];
const CHOICES = [["left", "Left is better"], ["right", "Right is better"], ["tie", "Equal"], ["bad", "Both are bad"]];
const NAMES = ["Left", "Right"];
const EMPTY = "(an empty answer)";
const MOST_SAID_OF_TWO = 250; // characters of each of two answers that are spoken

let dialogue = { id: newId(), messages: [] };
let running = null; // the AbortController of the response that is streamed

function newId() {
  return crypto.getRandomValues(new Uint32Array(2)).join("-");
}

// ---- drawing

function draw() {
  const turns = dialogue.messages.map((message, index) => turn(message, index));
  const hadFocus = document.activeElement !== document.body && document.activeElement !== $("text");
  $("dialogue").replaceChildren(...turns);
  scrollDown();
  $("send").hidden = running !== null;
  $("stop").hidden = running === null;
  drawHistory();
  const focused = document.activeElement;
  if (hadFocus && (focused === document.body || focused.hidden)) $("text").focus(); // its button is gone
}

function turn(message, index) {
  const body = element("div", { class: "body" });
  if (message.role === "assistant") drawAnswer(body, message.content);
  else body.textContent = message.content;
  const tools = element("div", { class: "row tools" });
  if (running === null) tools.append(...buttons(message, index));
  return element("article", { class: `turn ${message.role}`, "aria-label": message.role }, body, tools);
}

// A model may end its answer at once: the page says so and goes on.
function drawAnswer(body, text) {
  if (text.trim()) renderMarkdown(body, text);
  else body.replaceChildren(element("p", { class: "soft", text: EMPTY }));
}

function buttons(message, index) {
  const copy = element("button", { type: "button", text: "Copy", click: () => copyText(message.content) });
  if (message.role === "user") {
    return [element("button", { type: "button", text: "Edit", click: () => edit(index) }), copy];
  }
  const again = element("button", { type: "button", text: "Regenerate", click: () => regenerate(index) });
  return [copy, again];
}

function drawHistory() {
  const options = readDialogues().map((each) => element("option", { value: each.id, text: titleOf(each) }));
  if (!readDialogues().some((each) => each.id === dialogue.id)) {
    options.unshift(element("option", { value: dialogue.id, text: "New dialogue" }));
  }
  $("history").replaceChildren(...options);
  $("history").value = dialogue.id;
}

function scrollDown() {
  $("dialogue").scrollTop = $("dialogue").scrollHeight;
}

// ---- one model

function request(messages) {
  const number = (name) => ($(name).value === "" ? undefined : Number($(name).value));
  const system = $("system").value.trim();
  return {
    messages: [...(system ? [{ role: "system", content: system }] : []), ...messages],
    temperature: number("temperature"),
    top_p: number("top_p"),
    max_tokens: number("max_tokens"),
    seed: number("seed"),
  };
}

async function respond() {
  if ($("rival").value) return respondTwice();
  const prompt = [...dialogue.messages];
  const message = { role: "assistant", content: "" };
  const isComplete = await during(async (signal) => {
    dialogue.messages.push(message);
    draw();
    const body = $("dialogue").lastElementChild.querySelector(".body");
    await streamChat({ model: $("model").value, ...request(prompt) }, signal, (text) => {
      message.content += text;
      renderMarkdown(body, message.content);
      scrollDown();
    });
    say(`Answer: ${spoken(message.content)}`); // once, and not while it is streamed
  });
  if (!message.content && !isComplete) takeBack(prompt);
  finish();
}

// A message without an answer would make the next one fail too: it can be changed and sent again.
function takeBack(messages) {
  dialogue.messages = messages.slice(0, -1);
  $("text").value ||= messages.at(-1).content;
}

function spoken(text, most) {
  return text.trim() ? clip(text, most) : EMPTY;
}

// ---- two models

async function respondTwice() {
  const texts = ["", ""];
  let comparison = null;
  const isComplete = await during(async (signal) => {
    draw();
    const bodies = NAMES.map(() => element("div"));
    const sides = bodies.map((body, i) => element("section", { class: "side", "aria-label": NAMES[i] }, element("h2", { text: NAMES[i] }), body));
    $("dialogue").append(element("div", { class: "pair" }, ...sides));
    const models = [$("model").value, $("rival").value];
    comparison = await startComparison({ models, ...request(dialogue.messages) });
    await Promise.all(bodies.map((body, side) => streamSide(comparison.id, side, signal, (text) => {
      texts[side] += text;
      renderMarkdown(body, texts[side]);
      scrollDown();
    })));
    bodies.forEach((body, side) => drawAnswer(body, texts[side]));
  });
  if (isComplete) return offerChoices(comparison, texts);
  takeBack(dialogue.messages);
  finish();
}

function offerChoices(comparison, texts) {
  const row = element("div", { class: "row votes", role: "group", "aria-label": "Which answer is better?" });
  for (const [choice, label] of CHOICES) {
    row.append(element("button", { type: "button", text: label, click: () => choose(comparison, texts, choice) }));
  }
  $("dialogue").append(row);
  scrollDown();
  const answers = texts.map((text, side) => `${NAMES[side]}: ${spoken(text, MOST_SAID_OF_TWO)}`);
  say(`Both answers are complete. ${answers.join(" – ")} – Choose the better one.`);
  if (!$("text").value) row.firstElementChild.focus(); // who types goes on typing, and votes by no key
}

async function choose(comparison, texts, choice) {
  try {
    const reply = await sendChoice(comparison.id, choice);
    const kept = choice === "right" ? 1 : 0;
    dialogue.messages.push({ role: "assistant", content: texts[kept] });
    finish();
    notice(`Stored. Left was ${reply.models[0]}, right was ${reply.models[1]}.`, "good");
    $("text").focus();
  } catch (error) {
    notice(error.message, "bad");
  }
}

// ---- what the person does

// Returns whether the work was completed, neither stopped nor failed.
async function during(work) {
  notice("");
  running = new AbortController();
  try {
    await work(running.signal);
    return true;
  } catch (error) {
    if (error.name !== "AbortError") notice(error.message, "bad");
    return false;
  } finally {
    running = null;
  }
}

function finish() {
  saveDialogue(dialogue);
  draw();
}

function submit(event) {
  event?.preventDefault();
  const text = $("text").value.trim();
  if (!text || running) return;
  $("text").value = "";
  say("Sent.");
  dialogue.messages.push({ role: "user", content: text });
  respond();
}

function edit(index) {
  $("text").value = dialogue.messages[index].content;
  dialogue.messages = dialogue.messages.slice(0, index);
  draw();
  $("text").focus();
}

function regenerate(index) {
  dialogue.messages = dialogue.messages.slice(0, index);
  respond();
}

async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    say("Copied.");
  } catch {
    notice("The browser does not allow copying here.", "bad");
  }
}

function open(id) {
  dialogue = readDialogues().find((each) => each.id === id) ?? { id: newId(), messages: [] };
  draw();
}

function keepSettings() {
  saveSettings(Object.fromEntries(FIELDS.map((name) => [name, $(name).value])));
}

async function start() {
  const models = await listModels();
  const options = () => models.map((name) => element("option", { value: name, text: name }));
  $("model").replaceChildren(...options());
  $("rival").append(...options());
  for (const [name, value] of Object.entries(readSettings())) {
    if (FIELDS.includes(name)) $(name).value = value;
  }
  for (const name of ["model", "rival"]) {
    if ($(name).selectedIndex < 0) $(name).selectedIndex = 0;
  }
  for (const name of FIELDS) $(name).addEventListener("change", keepSettings);
  $("form").addEventListener("submit", submit);
  $("text").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) submit(event);
  });
  $("stop").addEventListener("click", () => {
    running?.abort();
    say("Stopped.");
  });
  $("new").addEventListener("click", () => {
    open("");
    say("New dialogue.");
    $("text").focus();
  });
  $("remove").addEventListener("click", () => {
    removeDialogue(dialogue.id);
    open("");
    say("Deleted. New dialogue.");
  });
  $("history").addEventListener("change", () => open($("history").value));
  $("open-settings").addEventListener("click", () => $("settings").showModal());
  const [newest] = readDialogues();
  open(newest?.id ?? "");
}

start().catch((error) => notice(error.message, "bad"));
