// Review by keyboard: A accept, 1-3 choose, U does not have it, S later, Z undo, P what is proposed. What the card says a
// key does comes first: A accepts a whole grid. Not while somebody types.
document.addEventListener('keydown', event => {
  const at = event.target;
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (at.closest && at.closest('input:not([type=checkbox]), textarea, select, [contenteditable]')) return;
  const card = document.getElementById('review-card');
  if (!card || !card.offsetParent) return;
  const key = event.key.toLowerCase();
  const buttons = {a: 'review-accept', u: 'review-unknown', s: 'review-skip', z: 'review-undo'};
  const found = card.querySelector(`[data-key="${CSS.escape(key)}"]`) ?? document.getElementById(buttons[key]);
  if (found) { event.preventDefault(); found.click(); }
});
