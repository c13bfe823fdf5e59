"""What positions see, against plain loops over pairs: values and gradients, with padding, packing and caches."""

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from shopvl.models.attention import Block, BlockSettings, Encoder, attend, encode_real
from shopvl.models.sight import KeyValueCache, Packing, Sight

B, N, D, H = 3, 6, 12, 3
WHOLE = torch.ones(B, N, dtype=torch.bool)
RIGHT = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0], [1, 1, 0, 0, 0, 0]], dtype=torch.bool)
LEFT = RIGHT.flip(1)
HOLES = torch.tensor([[1, 1, 0, 1, 1, 1], [1, 0, 1, 1, 0, 1], [0, 1, 1, 1, 1, 1]], dtype=torch.bool)
SOURCE = torch.tensor([[1, 1, 1, 0, 0, 0], [0, 0, 1, 1, 0, 0], [1, 0, 0, 1, 0, 0]], dtype=torch.bool)
PREFIX = torch.tensor([0, 2, 5])

# each sight, and by its definition whether position i of row b may see j, were both real
SIGHTS: dict[str, tuple[Callable[[Tensor], Sight], Callable[[int, int, int], bool]]] = {
    "bidirectional": (Sight, lambda b, i, j: True),
    "causal": (Sight.causal, lambda b, i, j: j <= i),
    "seq2seq": (
        lambda real: Sight.seq2seq(real, SOURCE),
        lambda b, i, j: bool(SOURCE[b, j]) or (j <= i and not bool(SOURCE[b, i])),
    ),
    "prefix": (lambda real: Sight.prefix(real, PREFIX), lambda b, i, j: j < int(PREFIX[b]) or j <= i),
}
BEGUN = {"bidirectional": N, "causal": 1, "seq2seq": 4, "prefix": 5}  # positions that have to be read at once
PADDINGS = {"whole": WHOLE, "right": RIGHT, "left": LEFT, "holes": HOLES}


def in_plain_loops(encoder: Encoder, x_BND: Tensor, sees: Callable[[int, int, int], bool]) -> Tensor:
    """The encoder's states, pair by pair."""
    for block in encoder.blocks:
        given = block.norm_attention(x_BND) if block.norm_place == "pre" else x_BND
        q, k, v = block.attention.qkv(given).split(D, dim=-1)
        rows = []
        for b in range(B):
            for i in range(N):
                seen = [j for j in range(N) if sees(b, i, j)]
                mixed = []
                for part in (slice(h * D // H, (h + 1) * D // H) for h in range(H)):
                    logits = [q[b, i, part] @ k[b, j, part] / math.sqrt(D // H) for j in seen]
                    shares = torch.stack(logits).softmax(0) if seen else []
                    mixed.append(sum((s * v[b, j, part] for s, j in zip(shares, seen, strict=True)), 0 * v[b, i, part]))
                rows.append(torch.cat(mixed))
        change = block.attention.out(torch.stack(rows).view(B, N, D))
        if block.norm_place == "pre":
            x_BND = x_BND + change
            x_BND = x_BND + block.mlp(block.norm_mlp(x_BND))
        else:
            x_BND = block.norm_attention(x_BND + change)
            x_BND = block.norm_mlp(x_BND + block.mlp(x_BND))
    return encoder.norm(x_BND)


def encoder_of(norm: str) -> Encoder:
    torch.manual_seed(0)
    encoder = Encoder(2, BlockSettings(D, H, norm=norm)).double()
    for part in encoder.modules():
        if isinstance(part, nn.LayerNorm):
            nn.init.normal_(part.weight, 1, 0.3)
            nn.init.normal_(part.bias, 0, 0.3)
    return encoder


def in_values_and_gradients(encoder: Encoder, real: Tensor, run: Callable[[Tensor], Tensor]) -> list[Tensor]:
    torch.manual_seed(1)
    x = torch.randn(B, N, D, dtype=torch.double)
    x.requires_grad_()
    states = run(x)[real]
    encoder.zero_grad()
    (states * torch.linspace(-1, 1, states.numel()).view_as(states)).sum().backward()
    return [states.detach(), x.grad[real], *(p.grad.clone() for p in encoder.parameters())]


@pytest.mark.parametrize(("padding", "norm"), list(zip(PADDINGS, ("post", "pre", "pre", "post"), strict=True)))
@pytest.mark.parametrize("name", SIGHTS)
def test_every_sight_is_what_plain_loops_give(name: str, padding: str, norm: str) -> None:
    """Masked, packed, and one position after the other with cached keys and values."""
    make, sees = SIGHTS[name]
    real, encoder = PADDINGS[padding], encoder_of(norm)
    sight = make(real)

    def read_in_turns(x: Tensor) -> Tensor:
        """What has no order first, then the rest position by position."""
        begun = BEGUN[name]
        states, cache = encoder.read(x[:, :begun], cut(sight, begun))
        parts = [states]
        for i in range(begun, N):
            states, cache = encoder.read(x[:, i : i + 1], cut(sight, i + 1), cache=cache)
            parts.append(states)
        return torch.cat(parts, dim=1)

    wanted = in_values_and_gradients(
        encoder, real, lambda x: in_plain_loops(encoder, x, lambda b, i, j: bool(real[b, j]) and sees(b, i, j))
    )
    runs = {
        "masked": lambda x: encoder(x, sight),
        "packed": lambda x: encode_real(encoder, x, Sight(real, sight.turn, in_order=sight.in_order)),
        "cached": read_in_turns,
    }
    for how, run in runs.items():
        for found, expected in zip(in_values_and_gradients(encoder, real, run), wanted, strict=True):
            torch.testing.assert_close(
                found, expected, atol=1e-9, rtol=1e-7, msg=lambda text, how=how: f"{how}: {text}"
            )


def cut(sight: Sight, count: int) -> Sight:
    """Of the line's beginning."""
    real, turn = (None if part is None else part[:, :count] for part in (sight.real, sight.turn))
    return Sight(real, turn, in_order=sight.in_order)


@pytest.mark.parametrize("padding", PADDINGS)
@pytest.mark.parametrize("name", [name for name in SIGHTS if name != "bidirectional"])
def test_no_gradient_comes_from_what_is_not_seen(name: str, padding: str) -> None:
    """From outside: the gradient of one position's state, in every other position."""
    make, sees = SIGHTS[name]
    real, encoder = PADDINGS[padding], encoder_of("pre")
    x = torch.randn(B, N, D, dtype=torch.double, requires_grad=True)
    states = encoder(x, make(real))
    for b in range(B):
        for i in range(N):
            if not real[b, i]:
                continue
            (gradient,) = torch.autograd.grad(states[b, i].square().sum(), x, retain_graph=True)
            reached = {(b, i)}  # over two layers, what those see that it sees
            for _ in range(2):
                reached |= {(b, j) for _, k in reached for j in range(N) if real[b, j] and real[b, k] and sees(b, k, j)}
            found = {tuple(place) for place in (gradient.abs().amax(-1) > 0).nonzero().tolist()}
            assert found == reached


def test_causal_goes_by_torchs_kernel_where_padding_is_last(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def kernel(q, k, v, attn_mask=None, dropout_p=0.0, is_causal=False, scale=None):
        asked.append((attn_mask is not None, is_causal))
        return torch.zeros_like(q)

    monkeypatch.setattr(F, "scaled_dot_product_attention", kernel)
    block = Block(BlockSettings(D, H))
    for real in (WHOLE, RIGHT, LEFT):
        block(torch.randn(B, N, D), Sight.causal(real))
    assert asked == [(False, True), (False, True), (True, False)]
    asked.clear()
    block(torch.randn(B, N, D))
    block(torch.randn(B, N, D), Sight(RIGHT))
    assert asked == [(False, False), (True, False)]


def test_rows_that_see_nothing_are_finite() -> None:
    """Padding first, under a causal sight: such a position sees nothing, and no NaN comes of it."""
    encoder = encoder_of("pre")
    x = torch.randn(B, N, D, dtype=torch.double, requires_grad=True)
    states = encoder(x, Sight.causal(LEFT))
    states.sum().backward()
    assert states.isfinite().all()
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("padded", [False, True])
def test_causal_written_out_for_training_is_the_kernel(padded: bool) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(B, 2, N, 16).bfloat16().requires_grad_() for _ in "qkv")
    mask = (Sight.causal(LEFT) if padded else Sight.causal(WHOLE)).mask(N)
    real = LEFT if padded else WHOLE
    ours = attend(q, k, v, mask if padded else None, causal=not padded)
    theirs = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    keep = real[:, None, :, None]
    found = [torch.autograd.grad((mixed.float() * keep).square().sum(), (q, k, v)) for mixed in (ours, theirs)]
    torch.testing.assert_close(ours * keep, theirs * keep, atol=0.05, rtol=0.05)
    for one, two in zip(*found, strict=True):
        torch.testing.assert_close(one, two, atol=0.05, rtol=0.05)


@pytest.mark.parametrize("name", SIGHTS)
def test_a_line_goes_on_after_padding_as_without_it(name: str) -> None:
    """Rows of different lengths are read together, then two positions more each; so is each row by itself."""
    encoder = encoder_of("pre")
    make, _ = SIGHTS[name]
    x, more = torch.randn(B, N, D, dtype=torch.double), torch.randn(B, 2, D, dtype=torch.double)
    with torch.inference_mode():
        _, cache = encoder.read(x, make(RIGHT))
        first, cache = encoder.read(more[:, :1], cache=cache)
        second, _ = encoder.read(more[:, 1:], cache=cache)
        _, whole = encoder.read(x, make(RIGHT))
        both, _ = encoder.read(more, cache=whole)
        torch.testing.assert_close(torch.cat([first, second], 1), both)
        turn = make(RIGHT).turn
        for b in range(B):
            count = int(RIGHT[b].sum())
            before = torch.zeros(1, count, dtype=torch.long) if turn is None else turn[b : b + 1, :count]
            line = torch.cat([before, before.max() + torch.tensor([[1, 2]])], dim=1)
            alone = encoder(torch.cat([x[b : b + 1, :count], more[b : b + 1]], dim=1), Sight(turn=line))
            torch.testing.assert_close(both[b], alone[0, count:])


def test_rows_of_a_cache_are_those_rows() -> None:
    torch.manual_seed(0)
    encoder = Encoder(2, BlockSettings(D, H), context=True).double().eval()
    x, other = torch.randn(B, N, D, dtype=torch.double), torch.randn(B, 4, D, dtype=torch.double)
    real = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)
    row = torch.tensor([2, 0, 2])
    with torch.inference_mode():
        _, cache = encoder.read(x[:, :-1], Sight.causal(RIGHT[:, :-1]), other=(other, real))
        found, _ = encoder.read(x[row, -1:], cache=cache.rows(row))
        _, alone = encoder.read(x[row, :-1], Sight.causal(RIGHT[row, :-1]), other=(other[row], real[row]))
        wanted, _ = encoder.read(x[row, -1:], cache=alone)
    torch.testing.assert_close(found, wanted)


def test_a_context_is_read_as_torchs_decoder_reads_its_memory() -> None:
    """Both places of the norms, a causal line, padding in both lines, cached and not."""
    for norm in ("pre", "post"):
        torch.manual_seed(0)
        ours = Encoder(2, BlockSettings(D, H, norm=norm, eps=1e-5), context=True).eval()
        x, other = torch.randn(B, N, D), torch.randn(B, 4, D)
        real = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0], [1, 1, 0, 0]], dtype=torch.bool)
        with torch.inference_mode():
            wanted = x
            for block in ours.blocks:
                wanted = torchs_decoder_layer(block)(
                    wanted,
                    other,
                    tgt_mask=torch.ones(N, N, dtype=torch.bool).triu(1),
                    tgt_key_padding_mask=~RIGHT,
                    memory_key_padding_mask=~real,
                )
            wanted = ours.norm(wanted)
            found = ours(x, Sight.causal(RIGHT), other=(other, real))
            states, cache = ours.read(x[:, :2], Sight.causal(RIGHT[:, :2]), other=(other, real))
            rest, _ = ours.read(x[:, 2:], Sight.causal(RIGHT), cache=cache)
        torch.testing.assert_close(found[RIGHT], wanted[RIGHT], atol=1e-5, rtol=1e-5)
        torch.testing.assert_close(torch.cat([states, rest], 1)[RIGHT], wanted[RIGHT], atol=1e-5, rtol=1e-5)


def torchs_decoder_layer(block: Block) -> nn.TransformerDecoderLayer:
    pre = block.norm_place == "pre"
    theirs = nn.TransformerDecoderLayer(D, H, 4 * D, 0.0, "gelu", 1e-5, batch_first=True, norm_first=pre).eval()
    theirs.self_attn.in_proj_weight.data.copy_(block.attention.qkv.weight)
    theirs.self_attn.in_proj_bias.data.copy_(block.attention.qkv.bias)
    theirs.multihead_attn.in_proj_weight.data.copy_(torch.cat([block.cross.query.weight, block.cross.key_value.weight]))
    theirs.multihead_attn.in_proj_bias.data.copy_(torch.cat([block.cross.query.bias, block.cross.key_value.bias]))
    pairs = (
        (theirs.self_attn.out_proj, block.attention.out),
        (theirs.multihead_attn.out_proj, block.cross.out),
        (theirs.norm1, block.norm_attention),
        (theirs.norm2, block.norm_cross),
        (theirs.norm3, block.norm_mlp),
        (theirs.linear1, block.mlp[0]),
        (theirs.linear2, block.mlp[3]),
    )
    for part, own in pairs:
        part.load_state_dict(own.state_dict())
    return theirs


def test_activations_are_what_their_papers_say() -> None:
    """GELU by its integral, its tanh form, and its sigmoid form (arXiv:1606.08415)."""
    x = torch.linspace(-4, 4, 101, dtype=torch.double)
    formulas = {
        "gelu": x * 0.5 * (1 + torch.erf(x / math.sqrt(2))),
        "gelu-tanh": 0.5 * x * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
        "quick-gelu": x / (1 + torch.exp(-1.702 * x)),
    }
    for name, expected in formulas.items():
        torch.testing.assert_close(Block(BlockSettings(D, H, activation=name)).mlp[1](x), expected)


def test_a_packed_line_of_causal_rows_needs_no_mask() -> None:
    """Rows are closed up when they are packed, so their padding is last."""
    real = Packing(((2, 3),), (torch.tensor([[1, 1, 1], [1, 1, 0]], dtype=torch.bool),))
    (group,) = Sight(real, torch.tensor([0, 1, 2, 0, 1, 2]), in_order=True).groups
    assert group.in_order
    assert torch.equal(group.turn, torch.tensor([[0, 1, 2], [0, 1, 2]]))


def test_a_cache_knows_how_its_line_goes_on() -> None:
    keys = (torch.zeros(2, 1, 3, 4), torch.zeros(2, 1, 3, 4))
    real = torch.tensor([[1, 1, 1], [1, 1, 0]], dtype=torch.bool)
    after = KeyValueCache((keys,), Sight(real)).sight_after(2)
    assert after.turn.tolist() == [[0, 0, 0, 1, 2]] * 2
    assert after.real.tolist() == [[True] * 5, [True, True, False, True, True]]
    assert after.mask(1)[:, 0, 0].tolist() == after.real.tolist()
