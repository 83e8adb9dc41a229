// Builds elements. Text of others is only ever set as text, never parsed as HTML.

export const $ = (id) => document.getElementById(id);

// element("p", { class: "soft", text: "…" }, child, …); a function is an event listener.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "text") made.textContent = value;
    else if (typeof value === "function") made.addEventListener(name, value);
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

const SAID_MILLISECONDS = 15000; // then it is gone, so that nobody finds old news while reading
const MOST_SAID = 500; // characters of a long text

let clearing = null;

// Has a screen reader speak; the text is not seen.
export function say(text) {
  const live = $("live");
  live.textContent = live.textContent === text ? `${text}\u00a0` : text; // equal text is not read again
  clearTimeout(clearing);
  clearing = setTimeout(() => { live.textContent = ""; }, SAID_MILLISECONDS);
}

// The start of a text, short enough to be listened to.
export function clip(text, most = MOST_SAID) {
  const line = text.replace(/\s+/g, " ").trim();
  return line.length > most ? `${line.slice(0, most).replace(/\s\S*$/, "")} … and more` : line;
}

// A key on a button: seen, but no part of the button's name.
export function key(text) {
  return element("kbd", { "aria-hidden": "true", text });
}

export function notice(text, kind = "") {
  const box = $("notice");
  box.hidden = !text;
  box.className = `notice ${kind}`;
  box.textContent = text;
}
