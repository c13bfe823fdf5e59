// A grid of look-alikes: a click, Enter or a blank takes one out or puts it back, arrows move; A accepts the others.
const cellsOf = () => [...element.querySelectorAll('[data-toggle]')];
const counted = () => {
  const accept = element.querySelector('[data-do=accept]'), out = cellsOf().filter(one => one.ariaPressed === 'false');
  accept.dataset.but = JSON.stringify(out.map(one => one.dataset.toggle));
  accept.querySelector('[data-count]').textContent = cellsOf().length - out.length;
};
element.addEventListener('click', event => {
  const cell = event.target.closest('[data-toggle]');
  if (!cell) return;
  cell.ariaPressed = cell.ariaPressed === 'true' ? 'false' : 'true';
  counted();
});
element.addEventListener('keydown', event => {
  const cells = cellsOf(), at = cells.indexOf(event.target.closest('[data-toggle]'));
  const across = cells.filter(one => one.offsetTop === cells[0]?.offsetTop).length;
  const step = {ArrowRight: 1, ArrowLeft: -1, ArrowDown: across, ArrowUp: -across}[event.key];
  if (at < 0 || !step) return;
  event.preventDefault();
  cells[Math.min(Math.max(at + step, 0), cells.length - 1)].focus();
});
let shown = '';
new MutationObserver(() => {  // the page changes what is there rather than put something else in its place
  const cells = cellsOf(), now = cells.map(one => one.dataset.toggle).join('\n');
  if (now && now !== shown) {
    cells.forEach(one => { one.ariaPressed = 'true'; });
    counted();
    if (element.offsetParent) cells[0].focus({preventScroll: true});
  }
  shown = now;
}).observe(element, {childList: true, subtree: true, attributes: true, attributeFilter: ['data-toggle']});
