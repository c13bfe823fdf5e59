"""Faults put into models, objectives and views one at a time, to see that the tests notice each.

    python tests/mutations.py --out experiments/results/mutations.json

copies the package and its tests into a temporary folder, breaks it there in one place, runs the tests that could see it
until the first fails, and goes on; what is in the file already is not done again. Last, these tests run once without
any fault. `--only views` takes the faults of files whose path holds that. At the end it prints each fault and the share
that was caught. Libraries are loaded once: each fault is tried in a forked process.
"""

from __future__ import annotations

import argparse
import compileall
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[1]
COPIED = ("shopvl", "tests", "prompts", "data_schemas", "experiments", "app", "docs", "pyproject.toml")
LONGEST_SECONDS = 900
LOADED: list[ModuleType] = []  # what is collected would take what it registered with it
NO_TESTS = 4, 5  # exit codes of pytest
CAUGHT, SURVIVED, TOO_LONG = "caught", "SURVIVED", "too long"


class Mutation(NamedTuple):
    """A fault: in that file the one place with the old text has the new one instead."""

    file: str
    old: str
    new: str
    tests: str = ""  # others than those of its file


# quick ones first
TESTS = {
    "objectives/views.py": "objectives/test_views.py objectives/test_matching.py objectives/test_regions.py "
    "models/test_teacher.py objectives/test_pictures.py",
    "objectives/masked_regions.py": "objectives/test_regions.py",
    "objectives/contrastive.py": "objectives/test_contrastive.py models/test_teacher.py",
    "objectives/bags.py": "objectives/test_bags.py",
    "objectives/edited.py": "objectives/test_edited.py",
    "data/editing.py": "data/test_editing.py",
    "objectives/predicting.py": "objectives/test_matching.py objectives/test_answer_loss.py",
    "objectives/consistency.py": "objectives/test_pictures.py",
    "objectives/combining.py": "objectives/test_combining.py",
    "objectives/kaleidoscope.py": "objectives/test_kaleido.py",
    "objectives/matching.py": "objectives/test_matching.py",
    "objectives/distillation.py": "objectives/test_distillation.py::test_the_loss_is_what_plain_loops_say",
    "models/picture_teacher.py": "models/test_picture_teacher.py",
    "objectives/self_distilled.py": "models/test_picture_teacher.py",
    "models/attention.py": "models/test_attention.py models/test_two_streams.py models/test_sight.py",
    "models/sight.py": "models/test_attention.py models/test_sight.py",
    "models/momentum.py": "models/test_teacher.py",
    "models/text_cross.py": "models/test_teacher.py contract/test_probes.py",
    "models/two_streams.py": "models/test_two_streams.py",
    "models/crossing.py": "models/test_crossing.py",
    "models/inputs.py": "models/test_towers.py models/test_two_streams.py contract/test_probes.py",
    "models/dual_encoder.py": "models/test_word_weights.py::test_two_towers models/test_towers.py",
    "models/answering_encoder.py": "objectives/test_answer_loss.py models/test_answering.py",
}

DRAWN = "models/test_teacher.py contract/test_probes.py"
DISTILLED = "objectives/test_distillation.py::"

MUTATIONS = [
    # views: what a model is shown
    Mutation(
        "objectives/views.py",
        "pixels[:count].lerp(pixels[other_B]",
        "pixels[:count].lerp(pixels[:count]",
        DISTILLED + "test_blends_lie_between_two_pictures_and_nearer_to_their_own",
    ),
    Mutation(
        "objectives/views.py", "return words.real_BT & ~torch.isin(words.ids_BT, special)", "return words.real_BT"
    ),
    Mutation(
        "objectives/views.py",
        "targets_BT = torch.where(chosen_BT, ids_BT, IGNORED)",
        "targets_BT = torch.where(chosen_BT, corrupted_BT, IGNORED)",
    ),
    Mutation("objectives/views.py", "(kind_BT < 0.8), self.mask_id", "(kind_BT < 0.0), self.mask_id"),
    Mutation(
        "objectives/views.py",
        "generator=generator).to(ids_BT.device).gather(1, self.word_of(ids_BT))",
        "generator=generator).to(ids_BT.device)",
    ),
    Mutation("objectives/views.py", "((draw_BT < self.share) | (draw_BT == lowest_B1))", "(draw_BT < self.share)"),
    Mutation("objectives/views.py", "torch.randint(1, self.longest + 1,", "torch.randint(1, self.longest,"),
    Mutation("objectives/views.py", "left_BT[:, :-step] > step", "left_BT[:, :-step] >= step"),
    Mutation("objectives/views.py", "(noise_BP - shares_BP)", "(noise_BP + shares_BP)"),
    Mutation("objectives/views.py", "eligible_BP &= pictures.kept_BP", "eligible_BP |= pictures.kept_BP"),
    Mutation("objectives/views.py", "eligible_BP & (rank_BP < wanted_B1)", "eligible_BP & (rank_BP <= wanted_B1)"),
    Mutation("objectives/views.py", "source[chosen] = chosen.roll(1)", "source[chosen] = chosen"),
    Mutation(
        "objectives/views.py",
        "is_match_B = groups.title_B[source] == groups.title_B",
        "is_match_B = source == torch.arange(B, device=source.device)",
    ),
    Mutation(
        "objectives/views.py", 'if self.negatives == "subcat":', 'if self.negatives == "subcat" and not len(chosen):'
    ),
    Mutation("objectives/views.py", "worth_BB.fill_diagonal_(-torch.inf)", "worth_BB.fill_diagonal_(torch.inf)"),
    Mutation("objectives/views.py", "likeness_BB, -likeness_BB)", "likeness_BB, likeness_BB)"),
    Mutation(
        "objectives/views.py", "gumbel_noise_2BB=-(-uniform.log()).log()", "gumbel_noise_2BB=(-uniform.log()).log()"
    ),
    Mutation("objectives/masked_regions.py", "blank_BPYX &= ~masked_BP", "blank_BPYX |= masked_BP"),
    Mutation("objectives/masked_regions.py", "masked_fill(blank_BPYX[:, :, None], BLANK)", "clone()"),
    Mutation("objectives/masked_regions.py", "real_BP[:, 0] = False", "real_BP[:, 0] = True"),
    Mutation(
        "objectives/masked_regions.py", "area[:, :, None] + area[:, None] - shared", "area[:, :, None] + area[:, None]"
    ),
    Mutation("objectives/kaleidoscope.py", ".rot90(turns, (-2, -1))", ".rot90(turns, (-1, -2))"),
    Mutation(
        "objectives/kaleidoscope.py",
        "changed_BP3YX[row_B1, chosen[4]] = 0.0",
        "changed_BP3YX[row_B1, chosen[4]] *= 1.0",
    ),
    Mutation("objectives/kaleidoscope.py", "clean_BP3YX[other_B1, chosen[2]]", "clean_BP3YX[row_B1, chosen[2]]"),
    Mutation("objectives/kaleidoscope.py", "torch.cat([chosen[3], chosen[4]], dim=1)", "chosen[4]"),
    # objectives: how a guess is judged
    Mutation(
        "objectives/contrastive.py",
        "output.scales[self.between] * output.embeddings[left]",
        "output.embeddings[left]",
    ),
    Mutation(
        "objectives/contrastive.py",
        "(logits_BB.T, targets.T)",
        "(logits_BB, targets)",
    ),
    Mutation(
        "objectives/contrastive.py",
        "(logits_BB.T, targets.T)",
        "(logits_BB.T, targets)",
    ),
    Mutation("objectives/contrastive.py", "target / target.sum(1, keepdim=True)", "target / target.sum()"),
    Mutation("objectives/contrastive.py", "soft = (scale.detach() * ", "soft = (scale * "),
    Mutation(
        "objectives/contrastive.py",
        "torch.cat([teacher.embeddings[right], teacher.queue[right]])",
        "torch.cat([teacher.embeddings[right], teacher.queue[left]])",
    ),
    Mutation(
        "objectives/contrastive.py",
        "(1 - teacher.share) * hard + teacher.share * soft",
        "teacher.share * hard + (1 - teacher.share) * soft",
    ),
    Mutation("objectives/contrastive.py", "(~facts.product_BK).float().T", "facts.product_BK.float().T"),
    Mutation("objectives/contrastive.py", "return met_BB | title_matches(batch)", "return met_BB"),
    Mutation("models/picture_teacher.py", "descending=True", "descending=False"),
    Mutation("models/picture_teacher.py", "torch.where(mirrored[:, None] > 0, 1 - across_C, across_C)", "across_C"),
    Mutation("objectives/self_distilled.py", "2 - 2 * cosines_2B.mean()", "1 - cosines_2B.mean()"),
    Mutation(
        "objectives/self_distilled.py", "round((1 - self.share) * self.patches)", "round(self.share * self.patches)"
    ),
    Mutation("objectives/bags.py", "masked_fill(number_N < 0, -torch.inf)", "clone()"),
    Mutation("objectives/bags.py", "== number_N).any(1) & (number_N >= 0)", "== number_N).any(1)"),
    Mutation("objectives/bags.py", "/ known_B.sum().clamp(min=1)", "/ len(known_B)"),
    Mutation("objectives/edited.py", "F.softplus(-ahead_B)", "F.softplus(ahead_B)"),
    Mutation("objectives/edited.py", " * lies_B).sum()", ").sum()"),
    Mutation("data/editing.py", "not in {fact, *holding}", "!= fact"),
    Mutation("data/editing.py", 'prop.visual == "no"', 'prop.visual == "never"'),
    Mutation("models/answering_encoder.py", "targets.chosen_BQK.any(-1)", "targets.chosen_BQK.all(-1)"),
    Mutation("objectives/predicting.py", "total / max(len(made), 1)", "total"),
    Mutation("objectives/distillation.py", 'COMPARED = ("image", "title")', 'COMPARED = ("image",)'),
    Mutation("objectives/consistency.py", ".sum(-1).mean()", ".sum(0).mean()"),
    Mutation("objectives/combining.py", "losses_K.softmax(0).square()", "losses_K.softmax(0)"),
    Mutation("objectives/matching.py", "torch.where(is_match_B, 1.0, -1.0)", "torch.where(is_match_B, -1.0, 1.0)"),
    Mutation("objectives/matching.py", "1 - F.normalize(patches_BPD, dim=-1)", "1 - patches_BPD"),
    Mutation("objectives/matching.py", "ipot(cost_BPT.detach(),", "ipot(cost_BPT,"),
    # models: what is seen, and what learns
    Mutation("models/attention.py", "attn_mask=sees, dropout_p", "attn_mask=None, dropout_p"),
    Mutation("models/attention.py", "is_causal=causal", "is_causal=False"),
    Mutation("models/attention.py", "device=q_BHNd.device).tril()", "device=q_BHNd.device).triu()"),
    Mutation("models/attention.py", "sees = context.real_BM[:, None, None, :]", "sees = None"),
    Mutation("models/attention.py", 'norm(x) if self.norm_place == "pre" else x', "norm(x)"),
    Mutation("models/sight.py", "self.turn[:, None, :] <= self.turn", "self.turn[:, None, :] < self.turn"),
    Mutation("models/sight.py", "order if real is None else order & real", "order"),
    Mutation("models/sight.py", "(~source_BN).long().cumsum(1) * ~source_BN", "(~source_BN).long().cumsum(1)"),
    Mutation("models/momentum.py", "self.soft * min(1.0, int(self.steps) / self.ramp_steps)", "self.soft"),
    Mutation(
        "models/momentum.py",
        "ema_update(self.model, model, self.decay)",
        "ema_update(self.model, model, 1 - self.decay)",
    ),
    Mutation(
        "models/momentum.py", "torch.cat([new.to(queue.dtype), queue])", "torch.cat([queue, new.to(queue.dtype)])"
    ),
    Mutation("models/momentum.py", "return super().train(False)", "return super().train(mode)"),
    Mutation(
        "models/momentum.py",
        "/ len(embeddings) ** 0.5",
        "/ len(embeddings)",
        DISTILLED + "test_cosines_of_all_together_are_the_mean_of_each_ones",
    ),
    Mutation(
        "models/text_cross.py",
        "self.fusion(title_BTD, Sight(title.real_BT),",
        "self.fusion(title_BTD, Sight(),",
    ),
    Mutation("models/dual_encoder.py", ".masked_fill(same_BB, -torch.inf)", ".masked_fill(same_BB, 0.0)", DRAWN),
    Mutation(
        "models/dual_encoder.py",
        "torch.cat([own_B, own_B, title_B]), torch.cat([own_B, picture_B, own_B])",
        "torch.cat([own_B, own_B, picture_B]), torch.cat([own_B, title_B, own_B])",
        DRAWN,
    ),
    Mutation(
        "models/dual_encoder.py",
        "torch.stack([logits_BB, logits_BB.T])",
        "torch.stack([logits_BB, logits_BB])",
        DRAWN,
    ),
    Mutation(
        "models/two_streams.py",
        "cross_patches.cross.context(words_seen(words), real_BT)",
        "cross_patches.cross.context(patches_seen(patches), real_BP)",
    ),
    Mutation("models/two_streams.py", "self.patches(patches, Sight(real_BP))", "self.words(patches, Sight(real_BP))"),
    Mutation("models/crossing.py", "query=(1, 1), key=(1, -1)", "query=(1, 1), key=(1, 1)"),
    Mutation("models/inputs.py", "masked_fill(pictures.masked_BP[..., None], 0.0)", "clone()"),
    Mutation("models/inputs.py", "net.requires_grad_(False)", "net.requires_grad_(True)"),
    Mutation("models/inputs.py", "self.net.eval()", "self.net.train(mode)"),
    Mutation("models/inputs.py", "Sight.causal(real_BT) if self.causal else Sight(real_BT)", "Sight()"),
    Mutation("models/inputs.py", "last_B = real_BT.sum(1) - 1", "last_B = real_BT.sum(1) * 0"),
    Mutation("models/dual_encoder.py", "F.normalize(x_BD.float(), dim=-1)", "F.normalize(x_BD.float(), dim=0)"),
    Mutation("models/dual_encoder.py", "self.log_scale.exp().clamp", "self.log_scale.clamp"),
    Mutation(
        "models/dual_encoder.py",
        "if batch.mixup else nullcontext()",
        "if not batch.mixup else nullcontext()",
        DISTILLED + "test_norms_remember_nothing_of_blends",
    ),
]


def faults_of_the_list() -> Iterator[str]:
    """Faults whose old text is not in its file exactly once, as sentences."""
    for number, mutation in enumerate(MUTATIONS):
        count = (ROOT / "shopvl" / mutation.file).read_text("utf-8").count(mutation.old)
        if count != 1:
            yield f"{number}: {mutation.file} has {mutation.old!r} {count} times, once was wanted"


def main() -> None:
    """Try every fault that has not been tried, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ROOT / "experiments/results/mutations.json")
    parser.add_argument("--only", default="", help="A part of the path of files.")
    told = parser.parse_args()
    if odd := list(faults_of_the_list()):
        sys.exit("\n".join(odd))
    keep = _load_libraries()
    results = json.loads(told.out.read_text("utf-8"))["tried"] if told.out.is_file() else {}
    chosen = [mutation for mutation in MUTATIONS if told.only in mutation.file]
    with tempfile.TemporaryDirectory() as place:
        copy = Path(place) / "copy"
        for name in COPIED:
            source = ROOT / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, _made(copy) / name)
        compileall.compile_dir(copy / "shopvl", quiet=1)  # else every process would compile all of it
        for mutation in chosen:
            if _key(mutation) not in results:
                results[_key(mutation)] = _tried(copy, mutation)
                keep(told.out, _summary(chosen, results))
                print(*results[_key(mutation)], _key(mutation), flush=True)
        tests = " ".join(sorted({name for mutation in chosen for name in _tests_of(mutation).split()}))
        if (unchanged := f"unchanged: {tests}") not in results:
            results[unchanged] = _tried(copy, Mutation(chosen[0].file, "", "", tests))
            keep(told.out, _summary(chosen, results))
        if results[unchanged][0] != SURVIVED:
            log = (copy / "log.txt").read_text("utf-8", errors="replace")
            sys.exit(f"{log[-3000:]}\nthese tests fail without any fault; mend them first")
    _print(chosen, results)


def _key(mutation: Mutation) -> str:
    return f"{mutation.file}: {mutation.old} -> {mutation.new}"


def _made(folder: Path) -> Path:
    folder.mkdir(exist_ok=True)
    return folder


def _load_libraries() -> Callable[..., None]:
    """What every test process would load for itself, and what writes results; none of the package itself stays."""
    for variable in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ[variable] = "1"
    import accelerate  # noqa: F401
    import faiss  # noqa: F401
    import polars  # noqa: F401
    import pydantic  # noqa: F401
    import pytest  # noqa: F401
    import sklearn  # noqa: F401
    import torch
    import transformers  # noqa: F401

    import shopvl.evaluation.language
    import shopvl.training.pretraining  # noqa: F401
    from shopvl.tracking.provenance import write_result

    torch.set_num_threads(1)  # a pool of threads does not survive a fork
    ours = [name for name in sys.modules if name.split(".")[0] == "shopvl"]
    LOADED.extend(sys.modules.pop(name) for name in ours)
    return write_result


def _tests_of(mutation: Mutation) -> str:
    return mutation.tests or TESTS[mutation.file]


def _tried(copy: Path, mutation: Mutation) -> list[str]:
    """What came of it, and after how many seconds."""
    path = copy / "shopvl" / mutation.file
    whole = path.read_text("utf-8")
    if mutation.old:
        path.write_text(whole.replace(mutation.old, mutation.new), "utf-8")
    started = time.monotonic()
    child = os.fork()
    if not child:
        _run_tests(copy, _tests_of(mutation).split())
    try:
        state = _waited(child, started + LONGEST_SECONDS)
    finally:
        path.write_text(whole, "utf-8")
    return [state, f"{time.monotonic() - started:.0f} s"]


def _run_tests(copy: Path, tests: list[str]) -> None:
    """In a process of its own, which ends here."""
    import pytest

    os.chdir(copy)
    sys.path[:] = [str(copy), *(entry for entry in sys.path if Path(entry or ".").resolve() != ROOT)]
    sys.dont_write_bytecode = True
    with Path("log.txt").open("w") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        files = [f"tests/{name}" for name in tests]
        code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "-o", "timeout=0", *files])
        sys.stdout.flush()
    os._exit(int(code))


def _waited(child: int, until: float) -> str:
    while time.monotonic() < until:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            code = os.waitstatus_to_exitcode(status)
            if code in NO_TESTS:
                sys.exit("pytest found no tests by these names; see TESTS")
            return SURVIVED if code == 0 else CAUGHT
        time.sleep(0.2)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return TOO_LONG


def _summary(chosen: Sequence[Mutation], results: dict[str, list[str]]) -> dict[str, Any]:
    tried = [results[_key(mutation)][0] for mutation in chosen if _key(mutation) in results]
    figures = {"faults": len(chosen), "tried": len(tried), "caught": sum(state != SURVIVED for state in tried)}
    return {"figures": figures, "tried": results}


def _print(chosen: list[Mutation], results: dict[str, list[str]]) -> None:
    states = [results[_key(mutation)][0] for mutation in chosen]
    for mutation, state in zip(chosen, states, strict=True):
        print(f"{state:9} {_key(mutation)}")
    caught = sum(state != SURVIVED for state in states)
    print(f"{caught} of {len(states)} caught ({caught / len(states):.0%})")


if __name__ == "__main__":
    main()
