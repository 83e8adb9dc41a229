// Marks the words in which responses differ.
import { element } from "./elements.js";

const WORD = /[\p{L}\p{N}]+|[^\s\p{L}\p{N}]/gu;
const MAX_WORDS = 2000; // of a response; longer ones are compared word by word as sets

// `boxes` are elements that show responses; words that not all of them have are marked.
export function markDifferences(boxes) {
  const words = boxes.map((box) => wordsOf(box));
  const isShort = words.every((list) => list.length <= MAX_WORDS);
  const common = words.map((list) => new Uint8Array(list.length).fill(1));
  if (words.length === 2 && isShort) markPair(words, common);
  else markSets(words, common);
  words.forEach((list, index) => wrap(list, common[index]));
}

export function sameButSpace(texts) {
  const squeezed = texts.map((text) => text.replace(/\s+/g, " ").trim());
  return squeezed.map((text, i) => squeezed.findIndex((other, j) => j !== i && other === text));
}

function wordsOf(box) {
  const walker = document.createTreeWalker(box, NodeFilter.SHOW_TEXT);
  const found = [];
  while (walker.nextNode()) {
    const node = walker.currentNode;
    for (const match of node.data.matchAll(WORD)) {
      found.push({ node, start: match.index, end: match.index + match[0].length, word: match[0].toLowerCase() });
    }
  }
  return found;
}

// The longest common subsequence of two lists of words (Wagner and Fischer 1974).
function markPair([left, right], [inLeft, inRight]) {
  const width = right.length + 1;
  const lengths = new Uint16Array((left.length + 1) * width);
  for (let i = left.length - 1; i >= 0; i--) {
    for (let j = right.length - 1; j >= 0; j--) {
      lengths[i * width + j] = left[i].word === right[j].word
        ? lengths[(i + 1) * width + j + 1] + 1
        : Math.max(lengths[(i + 1) * width + j], lengths[i * width + j + 1]);
    }
  }
  inLeft.fill(0);
  inRight.fill(0);
  for (let i = 0, j = 0; i < left.length && j < right.length;) {
    if (left[i].word === right[j].word) inLeft[i++] = inRight[j++] = 1;
    else if (lengths[(i + 1) * width + j] >= lengths[i * width + j + 1]) i++;
    else j++;
  }
}

function markSets(words, common) {
  const sets = words.map((list) => new Set(list.map((each) => each.word)));
  words.forEach((list, index) => list.forEach((each, at) => {
    common[index][at] = sets.every((set) => set.has(each.word)) ? 1 : 0;
  }));
}

function wrap(list, common) {
  for (let at = list.length - 1; at >= 0; at--) { // from the end, so that positions stay right
    if (common[at]) continue;
    let from = at;
    while (from > 0 && !common[from - 1] && list[from - 1].node === list[at].node) from--;
    const node = list[at].node;
    const tail = node.splitText(list[from].start);
    tail.splitText(list[at].end - list[from].start);
    const mark = element("mark");
    tail.replaceWith(mark);
    mark.append(tail);
    at = from;
  }
}
