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

export function say(text) {
  const live = $("live");
  live.textContent = live.textContent === text ? `${text}\u00a0` : text; // equal text is not read again
}

export function notice(text, kind = "") {
  const box = $("notice");
  box.hidden = !text;
  box.className = `notice ${kind}`;
  box.textContent = text;
}
