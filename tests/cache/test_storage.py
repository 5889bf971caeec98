"""KV in tensors: copied out, viewed, compacted and put back without a bit changing."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from functools import partial
from threading import Barrier, Thread

import pytest
import torch

from prefix_engine.cache import CountSegment, RadixCache
from prefix_engine.cache.storage import KVSegment, KVStorage, copy_out, load
from prefix_engine.cpuclock import thread_times_ns
from prefix_engine.model.base import KVShape, Slab

CAPACITY = 32
DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])


def slab_of(dtype: torch.dtype, seed: int | None = None) -> Slab:
    """A slab full of random numbers, or an empty one."""
    slab = Slab(KVShape(layers=3, kv_heads=2, head_dim=4, dtype=dtype), CAPACITY)
    if seed is not None:
        generator = torch.Generator().manual_seed(seed)
        slab.kv.copy_(torch.randn(slab.kv.shape, generator=generator))
    return slab


def cache_of(slab: Slab) -> RadixCache:
    return RadixCache(bytes_per_token=slab.shape.bytes_per_token)


def bytes_alive() -> int:
    """The bytes of all KV storages that exist, held by a cache or by anyone else."""
    gc.collect()
    return sum(thing.nbytes for thing in gc.get_objects() if type(thing) is KVStorage)


@DTYPES
def test_what_was_copied_out_is_put_back_bit_for_bit(dtype: torch.dtype) -> None:
    source, target = slab_of(dtype, seed=1), slab_of(dtype, seed=2)
    untouched = target.kv[:, :, :, 20:].clone()
    pieces = [copy_out(source, 0, 7), copy_out(source, 7, 8), copy_out(source, 8, 20)]
    assert load(pieces, target) == 20
    assert torch.equal(target.kv[:, :, :, :20], source.kv[:, :, :, :20])
    assert torch.equal(target.kv[:, :, :, 20:], untouched)


@DTYPES
def test_stored_kv_takes_the_bytes_of_its_tokens(dtype: torch.dtype) -> None:
    slab = slab_of(dtype, seed=1)
    segment = copy_out(slab, 3, 11)
    assert segment.tokens == 8
    assert segment.storage.nbytes == 8 * slab.shape.bytes_per_token
    assert segment.kv.shape == (2, 3, 2, 8, 4)


def test_what_a_request_does_to_its_slab_never_reaches_stored_kv() -> None:
    slab = slab_of(torch.float32, seed=1)
    wanted = slab.kv[:, :, :, :10].clone()
    segment = copy_out(slab, 0, 10)
    slab.kv.zero_()
    first, second = slab_of(torch.float32), slab_of(torch.float32)
    load([segment], first)
    first.kv.fill_(7)
    load([segment], second)
    assert torch.equal(segment.kv, wanted)
    assert torch.equal(second.kv[:, :, :, :10], wanted)


def test_splits_are_views_and_compaction_copies_them_out() -> None:
    slab = slab_of(torch.bfloat16, seed=1)
    head, rest = copy_out(slab, 0, 12).split(4)
    middle, tail = rest.split(5)
    assert head.storage is middle.storage is tail.storage
    assert [part.tokens for part in (head, middle, tail)] == [4, 5, 3]
    assert torch.equal(middle.kv, slab.kv[:, :, :, 4:9])
    assert torch.equal(tail.kv, slab.kv[:, :, :, 9:12])
    own = middle.compact()
    assert own.storage is not middle.storage
    assert own.storage.nbytes == 5 * slab.shape.bytes_per_token
    assert torch.equal(own.kv, middle.kv)


def test_evicting_a_part_lets_go_of_its_memory() -> None:
    slab = slab_of(torch.float32, seed=1)
    cache = cache_of(slab)
    before = bytes_alive()
    ids = list(range(20))
    cache.insert(ids, partial(copy_out, slab))
    cache.insert([*ids[:12], *ids[:4]], partial(copy_out, slab))
    assert bytes_alive() - before == cache.stats.held_bytes == 24 * slab.shape.bytes_per_token
    assert cache.evict(1) == 8
    assert bytes_alive() - before == cache.stats.held_bytes == 16 * slab.shape.bytes_per_token
    cache.clear()
    assert bytes_alive() == before


def test_a_lease_reads_the_same_bits_before_and_after_compaction() -> None:
    slab = slab_of(torch.bfloat16, seed=1)
    cache = cache_of(slab)
    ids = list(range(20))
    cache.insert(ids, partial(copy_out, slab))
    with cache.match([*ids[:12], 99]) as lease:
        early = lease.segments
        assert cache.evict(1) == 8
        for segments in (early, lease.segments):
            target = slab_of(torch.bfloat16)
            assert load(segments, target) == 12
            assert torch.equal(target.kv[:, :, :, :12], slab.kv[:, :, :, :12])
    cache.check_integrity()


def test_a_slab_of_inference_mode_is_read_and_written_outside_of_it() -> None:
    with torch.inference_mode():
        source, target = slab_of(torch.float32, seed=1), slab_of(torch.float32)
    load([copy_out(source, 0, 5)], target)
    assert torch.equal(target.kv[:, :, :, :5], source.kv[:, :, :, :5])


@pytest.mark.parametrize(("start", "end"), [(-1, 4), (4, 4), (5, 4), (0, CAPACITY + 1)])
def test_positions_outside_of_the_slab_are_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError):
        copy_out(slab_of(torch.float32), start, end)


def test_what_does_not_fit_is_refused_before_anything_is_written() -> None:
    source, target = slab_of(torch.float32, seed=1), slab_of(torch.float32)
    with pytest.raises(ValueError):
        load([copy_out(source, 0, CAPACITY), copy_out(source, 0, 1)], target)
    assert not target.kv.any()


def test_segments_without_kv_are_refused() -> None:
    with pytest.raises(TypeError):
        load([CountSegment(3)], slab_of(torch.float32))


def test_nothing_to_load_leaves_the_slab_alone() -> None:
    target = slab_of(torch.float32)
    assert load([], target) == 0
    assert not target.kv.any()


def test_kv_is_a_view_of_the_storage() -> None:
    segment = copy_out(slab_of(torch.float32, seed=1), 0, 4)
    assert isinstance(segment, KVSegment)
    assert segment.kv.data_ptr() == segment.storage.kv.data_ptr()


@pytest.fixture
def two_threads() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("two_threads")
def test_who_copies_gets_no_workers_of_their_own() -> None:
    """Each thread that has ever divided work keeps a pool of workers until it ends."""
    all_done, counted = Barrier(4, timeout=60), Barrier(4, timeout=60)
    large = Slab(KVShape(layers=3, kv_heads=2, head_dim=4, dtype=torch.float32), 100_000)
    segment = copy_out(large, 0, 100_000)

    def copy() -> None:
        segment.compact()
        all_done.wait()
        counted.wait()

    segment.compact()  # the one that computes has its workers from now on
    before = len(list(thread_times_ns()))
    askers = [Thread(target=copy) for _ in range(3)]
    for asker in askers:
        asker.start()
    all_done.wait()
    after = len(list(thread_times_ns()))
    counted.wait()
    assert after <= before + len(askers)
