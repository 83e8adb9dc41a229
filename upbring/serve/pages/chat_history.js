// Dialogues and settings, kept in this browser only.

const DIALOGUES = "upbring-dialogues";
const SETTINGS = "upbring-chat-settings";
const MOST = 50;

export function readDialogues() {
  return read(DIALOGUES, []);
}

// Stores a dialogue `{id, messages}` as the newest one; an empty one is forgotten.
export function saveDialogue(dialogue) {
  const others = readDialogues().filter((each) => each.id !== dialogue.id);
  const kept = dialogue.messages.length ? [dialogue, ...others] : others;
  write(DIALOGUES, kept.slice(0, MOST));
}

export function removeDialogue(id) {
  write(DIALOGUES, readDialogues().filter((each) => each.id !== id));
}

export function titleOf(dialogue) {
  const first = dialogue.messages.find((each) => each.role === "user");
  return first ? first.content.slice(0, 40) : "New dialogue";
}

export function readSettings() {
  return read(SETTINGS, {});
}

export function saveSettings(settings) {
  write(SETTINGS, settings);
}

function read(name, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(name)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function write(name, value) {
  try {
    localStorage.setItem(name, JSON.stringify(value));
  } catch {
    // a full or blocked storage: the dialogue lives as long as the page
  }
}
