"""The GPU that networks are trained and explained on, if one is asked for and found."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Literal

from annotator.quiet_tensorflow import import_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray

    Product = Callable[[NDArray[np.float32], NDArray[np.float32]], NDArray[np.float32]]

logger = logging.getLogger(__name__)

Device = Literal["cpu", "gpu"]
TENSORFLOW_CPU = "/CPU:0"
TENSORFLOW_GPU = "/GPU:0"


def tensorflow_device(asked: Device) -> str:
    """Return TensorFlow's name of a device: that of the CPU if no GPU is found.

    Computing on a GPU is set up to be as precise as on the CPU, and to take no more of the
    GPU's memory than it needs, because several processes may share it.
    """
    if asked == "cpu":
        return TENSORFLOW_CPU
    tensorflow = import_tensorflow()
    found = tensorflow.config.list_physical_devices("GPU")
    if not found:
        return TENSORFLOW_CPU
    tensorflow.config.experimental.enable_tensor_float_32_execution(False)
    for each in found:
        with suppress(RuntimeError):  # it is in use already, as it was set up then
            tensorflow.config.experimental.set_memory_growth(each, True)
    return TENSORFLOW_GPU


def usable_device(asked: Device) -> Device:
    """Return the device that is used, and log a line if it is not the one asked for."""
    if asked == "cpu" or tensorflow_device(asked) == TENSORFLOW_GPU:
        return asked
    logger.warning(
        "device = 'gpu': TensorFlow finds no GPU, and the CPU is used; the extra gpu installs"
        " TensorFlow for NVIDIA GPUs"
    )
    return "cpu"


def product_on(device: str) -> Product:
    """Return a function that multiplies matrices on a device, by TensorFlow's name of it."""
    import numpy as np

    tensorflow: Any = import_tensorflow()

    def product(left: NDArray[np.float32], right: NDArray[np.float32]) -> NDArray[np.float32]:
        with tensorflow.device(device):
            return np.array(tensorflow.linalg.matmul(left, right))

    return product
