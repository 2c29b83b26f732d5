// The part of the address after # holds what is shown: filter, pivot, cell. Opening a cell makes an entry in the
// history, typing in the filter does not.

function readAddress() {
  const given = new URLSearchParams(location.hash.slice(1));
  return Object.fromEntries(given);
}

function addressOf(changes) {
  const state = new URLSearchParams(location.hash.slice(1));
  for (const [key, value] of Object.entries(changes)) {
    if (value === null || value === "") state.delete(key);
    else state.set(key, value);
  }
  const text = state.toString().replaceAll("%3A", ":").replaceAll("%2C", ",").replaceAll("%7E", "~");
  return `#${text}`;
}

// Write the address without an entry in the history.
function replaceAddress(changes) {
  history.replaceState(null, "", addressOf(changes));
}

// Go there: the hashchange that follows shows it.
function goTo(changes) {
  location.hash = addressOf(changes);
}
