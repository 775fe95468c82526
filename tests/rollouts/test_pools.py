"""What an engine leaves in vLLM's pools is given back or set aside, so that the next one can start."""

from dataclasses import dataclass

import pytest
import torch
import torch._functorch.config
from torch._subclasses.fake_tensor import FakeTensorMode

from rsgrpo.rollouts.vllm.pools import drop_tensors, set_aside


@dataclass
class Region:
    handle: tuple[int, int]


@dataclass
class Allocator:
    """As much of vLLM's allocator as a closed engine meets."""

    pointer_to_data: dict[int, Region]

    def _python_free_callback(self, address: int) -> tuple[int, int]:
        return self.pointer_to_data.pop(address).handle

    def get_current_usage(self) -> int:
        return sum(region.handle[1] for region in self.pointer_to_data.values())


def test_what_an_engine_has_left_is_set_aside_until_pytorch_lets_it_go() -> None:
    allocator = Allocator({100: Region((1, 10)), 300: Region((3, 30))})
    assert set_aside(allocator) == 40
    assert allocator.get_current_usage() == 0, "the next engine may start"
    allocator.pointer_to_data[400] = Region((4, 5))
    assert allocator.get_current_usage() == 5, "it sees its own regions only"
    assert allocator._python_free_callback(300) == (3, 30)
    assert set_aside(allocator) == 5
    assert [allocator._python_free_callback(address) for address in (400, 100)] == [(4, 5), (1, 10)]
    with pytest.raises(KeyError):
        allocator._python_free_callback(300)


def test_tensors_of_a_region_lose_their_memory_and_no_others() -> None:
    inside, outside = torch.ones(1000), torch.ones(1000)
    with torch.inference_mode():
        inferred = torch.ones(1000)
    view = inside[10:20]
    places = [inside.untyped_storage().data_ptr(), inferred.data_ptr()]
    drop_tensors(Allocator({place: Region((0, inside.nbytes)) for place in places}))
    assert [t.numel() for t in (inside, view, inferred, outside)] == [0, 0, 0, 1000]
    assert float(outside.sum()) == 1000


@pytest.mark.parametrize("warns", [True, False])
def test_what_a_compiled_optimiser_has_traced_with_has_no_memory_to_lose(warns: bool) -> None:
    """Its tensors without values live on with it. Asked for their memory, they warn (once a process) or fail."""
    with torch._functorch.config.patch(fake_tensor_allow_unsafe_data_ptr_access=warns), FakeTensorMode():
        traced = torch.empty(1000)
    tensor = torch.ones(1000)
    regions = Allocator({tensor.data_ptr(): Region((0, tensor.nbytes))})
    torch.set_warn_always(True)
    try:
        with pytest.raises(UserWarning if warns else RuntimeError, match="data pointer"):
            traced.untyped_storage().data_ptr()
        drop_tensors(regions)
    finally:
        torch.set_warn_always(False)
    assert (traced.numel(), tensor.numel()) == (1000, 0)


def test_what_functorch_wraps_is_passed_over() -> None:
    """A wrapper refuses to name its memory, and is alive while a traced function runs."""
    tensor, seen = torch.ones(1000), []

    def close(row: torch.Tensor) -> torch.Tensor:
        with pytest.raises(RuntimeError):
            row.untyped_storage().data_ptr()
        drop_tensors(Allocator({tensor.data_ptr(): Region((0, tensor.nbytes))}))
        seen.append(tensor.numel())
        return row

    torch.vmap(close)(torch.ones(2, 3))
    assert seen == [0]
