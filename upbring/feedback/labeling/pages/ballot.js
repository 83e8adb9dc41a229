// The state of one ballot: places, flags and texts of the item that is shown. A place is null until
// the person gives one: the order on the page is never a vote.

const DRAFT = "upbring-draft";
export const REASONS = [["harmful", "harmful"], ["false", "false"], ["private", "private data"]];
export const LETTERS = "ABCDEFGHI";

export class Ballot {
  constructor(item, previous) {
    this.item = item;
    this.count = item.responses.length;
    this.places = Array(this.count).fill(null);
    this.allBad = false;
    this.flags = new Set(); // "RESPONSE reason"; RESPONSE is "prompt" or a position
    this.ideal = "";
    this.edited = null;
    this.comment = "";
    this.elapsed = 0;
    this.since = document.hidden ? null : performance.now();
    if (previous) this.readPrevious(previous);
    else this.readDraft();
  }

  readPrevious(vote) {
    if (vote.places) this.places = [...vote.places];
    this.allBad = vote.all_bad;
    this.ideal = vote.demonstration ?? "";
    this.edited = vote.edited;
    this.comment = vote.comment;
    for (const flag of vote.flags) this.flags.add(`${flag.response ?? "prompt"} ${flag.reason}`);
  }

  readDraft() {
    let draft = null;
    try {
      draft = JSON.parse(sessionStorage.getItem(DRAFT));
    } catch { /* a damaged draft is no draft */ }
    if (draft?.ticket !== this.item.ticket || draft.places?.length !== this.count) return;
    Object.assign(this, { places: draft.places, allBad: draft.allBad, ideal: draft.ideal });
    Object.assign(this, { edited: draft.edited, comment: draft.comment, elapsed: draft.elapsed });
    this.flags = new Set(draft.flags);
  }

  keepDraft() {
    const { places, allBad, ideal, edited, comment } = this;
    const draft = { ticket: this.item.ticket, places, allBad, ideal, edited, comment };
    sessionStorage.setItem(DRAFT, JSON.stringify({ ...draft, flags: [...this.flags], elapsed: this.seconds() * 1000 }));
  }

  static forgetDraft() {
    sessionStorage.removeItem(DRAFT);
  }

  // Time counts only while the page is visible.
  setVisible(isVisible) {
    if (!isVisible && this.since !== null) this.elapsed += performance.now() - this.since;
    this.since = isVisible ? this.since ?? performance.now() : null;
  }

  seconds() {
    const running = this.since === null ? 0 : performance.now() - this.since;
    return Math.round(this.elapsed + running) / 1000;
  }

  missing() {
    return [...this.places.keys()].filter((i) => this.places[i] === null);
  }

  isReady() {
    return this.missing().length === 0 || this.allBad;
  }

  // "All bad" needs no places: responses without one share the last.
  finalPlaces() {
    return this.places.map((place) => place ?? this.count);
  }

  tiedWith(index) {
    const place = this.places[index];
    return [...this.places.keys()].filter((i) => i !== index && place !== null && this.places[i] === place);
  }

  toVote(outcome) {
    const isRanking = outcome === "ranked";
    return {
      outcome,
      places: isRanking ? this.finalPlaces() : null,
      all_bad: isRanking && this.allBad,
      demonstration: this.ideal.trim() ? this.ideal : null,
      edited: this.ideal.trim() ? this.edited : null,
      flags: [...this.flags].map((flag) => {
        const [response, reason] = flag.split(" ");
        return { response: response === "prompt" ? null : Number(response), reason };
      }),
      comment: this.comment,
      seconds: this.seconds(),
    };
  }
}
