"""Where a model computes: named devices, all of a design on one, and decoding ahead of it."""

import threading
import time

import pytest
import torch
import torch.fx.experimental._config

from shopvl import device as devices
from shopvl.batch import inputs_name
from shopvl.catalog.readers import open_catalog
from shopvl.device import decoders_for, device_named
from shopvl.errors import ShopvlError
from shopvl.inference.tag_rows import HeadAnswers
from shopvl.recipes import find
from shopvl.runtime.prefetching import prefetch
from shopvl.tagging.run import tag, workers_for

META = torch.device("meta")  # shapes without numbers: what is mixed with the CPU fails there as on a GPU


def test_devices_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_named("cpu") == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert device_named(None) == torch.device("cpu")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_named(None) == torch.device("cuda")


@pytest.mark.parametrize("name", ["cuda:17", "gpu", "", "cpu:x"])
def test_a_device_that_is_not_there_is_said(name: str) -> None:
    with pytest.raises(ShopvlError, match=rf"--device {name} cannot be used here; there is cpu"):
        device_named(name)


@pytest.mark.parametrize("recipe", ["prompt-mask", "tri-clip", "vilt"])
@torch.fx.experimental._config.patch(meta_nonzero_assume_all_nonzero=True)
def test_all_of_a_design_computes_on_its_device(make_design, batch_of, recipe: str) -> None:
    design = make_design(find(recipe, "tiny"))
    if recipe == "tri-clip":
        design.add_heads({"colour": ["Red", "Blue"]})
    batch = batch_of(design)
    assert design.on(META) is design
    assert design.device == META
    design.model.eval()
    inputs = design.input_choices[-1]
    with torch.inference_mode():
        for vectors in design.model.features(batch.to(META), [inputs]).values():
            assert vectors.device == META
        if recipe == "prompt-mask":
            design.labels = dict(list(design.ontology.values().items())[:2])
            answers, _ = HeadAnswers(design).answers.read_with_vectors(batch.to(META), [inputs])
            assert {logp.device for logp in answers[inputs_name(inputs)].values()} == {META}


def test_a_gpu_is_fed_by_many_decoders_in_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.os, "cpu_count", lambda: 6)
    gpu = torch.device("cuda")
    assert (decoders_for(torch.device("cpu")), decoders_for(gpu)) == (1, 6)
    assert workers_for(10**6, gpu) == 1


def test_many_workers_on_a_gpu_are_refused(make_design, toy_table, tmp_path) -> None:
    design = make_design(find("tri-clip", "tiny")).on(META)
    with pytest.raises(ShopvlError, match="on meta one process tags"):
        tag(design, open_catalog(toy_table), tmp_path, zero_shot=True, workers=2)


@pytest.mark.parametrize("threads", [1, 3])
def test_items_come_in_order_and_are_not_read_far_ahead(threads: int) -> None:
    taken: list[int] = []
    together, most, lock = 0, 0, threading.Lock()

    def items():
        for item in range(12):
            taken.append(item)
            yield item

    def work(item: int) -> int:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        time.sleep(0.002 * (12 - item))
        with lock:
            together -= 1
        return item * item

    for number, done in enumerate(prefetch(work, items(), threads)):
        assert done == number**2
        assert len(taken) <= number + threads + 2
    assert most == threads
