// Shows a small part of Markdown with elements; everything else stays text. Links and images are
// not followed or loaded: their address is shown.
import { element } from "./elements.js";

const INLINE = /(`+)([^`]|[^`][\s\S]*?[^`])\1(?!`)|\*\*([^\s*](?:[\s\S]*?[^\s*])?)\*\*|\*([^\s*](?:[^*]*[^\s*])?)\*|!?\[([^\]\n]*)\]\(([^()\s]+)\)/;
const BLOCK_START = /^\s{0,3}(#{1,6}\s|```|~~~|>|[-*+]\s|\d{1,9}[.)]\s)/;

export function renderMarkdown(target, text) {
  const lines = text.replace(/\r\n?/g, "\n").split("\n");
  const parts = [];
  let at = 0;
  while (at < lines.length) {
    const [part, next] = readBlock(lines, at);
    if (part) parts.push(part);
    at = next;
  }
  target.replaceChildren(...parts);
}

function readBlock(lines, at) {
  const line = lines[at];
  if (!line.trim()) return [null, at + 1];
  const fence = /^\s{0,3}(```+|~~~+)/.exec(line);
  if (fence) return readFence(lines, at, fence[1]);
  const heading = /^\s{0,3}(#{1,6})\s+(.*?)\s*#*$/.exec(line);
  if (heading) {
    const level = Math.min(6, heading[1].length + 2);
    return [element(`h${level}`, {}, ...inline(heading[2])), at + 1];
  }
  if (/^\s{0,3}>/.test(line)) return readQuote(lines, at);
  if (/^\s{0,3}([-*+]|\d{1,9}[.)])\s/.test(line)) return readList(lines, at);
  return readParagraph(lines, at);
}

function readFence(lines, at, fence) {
  const body = [];
  let next = at + 1;
  while (next < lines.length && !lines[next].trim().startsWith(fence)) body.push(lines[next++]);
  return [element("pre", { tabindex: "0" }, element("code", { text: body.join("\n") })), next + 1];
}

function readQuote(lines, at) {
  const body = [];
  let next = at;
  while (next < lines.length && /^\s{0,3}>/.test(lines[next])) {
    body.push(lines[next++].replace(/^\s{0,3}>\s?/, ""));
  }
  return [element("blockquote", {}, ...inline(body.join("\n"))), next];
}

function readList(lines, at) {
  const first = /^\s{0,3}(?:[-*+]|(\d{1,9})[.)])\s/.exec(lines[at]);
  const isOrdered = first[1] !== undefined;
  const marker = isOrdered ? /^\s{0,3}\d{1,9}[.)]\s+/ : /^\s{0,3}[-*+]\s+/;
  const items = [];
  let next = at;
  for (; next < lines.length && lines[next].trim(); next++) {
    if (marker.test(lines[next])) items.push([lines[next].replace(marker, "")]);
    else if (/^\s{2,}/.test(lines[next])) items.at(-1).push(lines[next].trim());
    else break;
  }
  const list = element(isOrdered ? "ol" : "ul", isOrdered ? { start: first[1] } : {});
  list.append(...items.map((item) => element("li", {}, ...inline(item.join("\n")))));
  return [list, Math.max(next, at + 1)];
}

function readParagraph(lines, at) {
  let next = at + 1;
  while (next < lines.length && lines[next].trim() && !BLOCK_START.test(lines[next])) next++;
  return [element("p", {}, ...inline(lines.slice(at, next).join("\n"))), next];
}

function inline(text, depth = 0) {
  const parts = [];
  let rest = text;
  while (rest) {
    const found = depth < 6 ? INLINE.exec(rest) : null;
    if (!found) {
      parts.push(...withBreaks(rest));
      break;
    }
    parts.push(...withBreaks(rest.slice(0, found.index)), inlineElement(found, depth));
    rest = rest.slice(found.index + found[0].length);
  }
  return parts;
}

function inlineElement(found, depth) {
  const [, , code, strong, emphasis, label, address] = found;
  if (code !== undefined) return element("code", { text: code });
  if (strong !== undefined) return element("strong", {}, ...inline(strong, depth + 1));
  if (emphasis !== undefined) return element("em", {}, ...inline(emphasis, depth + 1));
  return element("span", { class: "link", text: `${label} (${address})` });
}

function withBreaks(text) {
  const pieces = text.split("\n");
  return pieces.flatMap((piece, index) => (index ? [element("br"), piece] : [piece]))
    .filter((piece) => piece !== "");
}
