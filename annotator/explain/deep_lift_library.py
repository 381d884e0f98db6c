"""The ``deeplift`` package, adapted to run beside Keras 3, as a check of our own scores.

The package was written for the graphs of TensorFlow 1. Three adaptations let it run
in a process that also trains eager Keras models: its own modules, and no others, see
``tensorflow.compat.v1`` under the name ``tf``; it uses the default session at the
time of the call; and every network is built in a graph of its own.
"""

from __future__ import annotations

from functools import cache
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

from annotator.explain.checks import checked_inputs
from annotator.explain.deep_lift import DeepLift
from annotator.quiet_tensorflow import import_tensorflow

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    from annotator.explain.deep_lift import Layers

ROWS_AT_ONCE = 256  # a chunk with 2,500 features then needs about 100 MB


def package_difference(layers: Layers, inputs: NDArray[Any]) -> float:
    """Return the largest difference between our scores and those of the ``deeplift`` package.

    Parameters
    ----------
    layers
        As for :class:`~annotator.explain.deep_lift.DeepLift`.
    inputs
        A few samples, shape ``(samples, features)``.

    Returns
    -------
    float
        The largest absolute difference over samples, outputs and features, in logits.

    Raises
    ------
    ArtefactError, InputError
        The layers do not fit one another, or the inputs do not fit the layers.
    """
    ours = DeepLift(layers)
    matrix = checked_inputs(inputs, ours.features)
    if not len(matrix):
        return 0.0
    difference = np.abs(ours.all_classes(matrix) - package_scores(ours.layers, matrix))
    return float(difference.max())


def package_scores(
    layers: Sequence[tuple[NDArray[np.float32], NDArray[np.float32]]],
    inputs: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Return the package's contributions to every output, against a reference of zeros.

    Parameters
    ----------
    layers
        Dense layers from the inputs to the output: kernel ``(in, out)`` and
        bias ``(out,)``, float32, with a ReLU after each but the last.
    inputs
        Shape ``(samples, features)``, float32.

    Returns
    -------
    ndarray
        Shape ``(samples, outputs, features)``, float32.
    """
    library = _library()
    tf = library.tf
    # Accelerators are left to the training.
    configuration = tf.ConfigProto(device_count={"GPU": 0})
    with tf.Session(graph=tf.Graph(), config=configuration):
        connected = _connected_layers(library, layers)
        _share_weights(tf, connected)
        score = _scoring_function(library, connected)
        outputs = range(len(layers[-1][1]))
        return np.stack([_scores_of_output(score, inputs, each) for each in outputs], axis=1)


@cache
def _library() -> SimpleNamespace:
    """Import TensorFlow and deeplift, and bind deeplift to TensorFlow's old interface."""
    tensorflow = import_tensorflow()  # before deeplift, which imports it as well
    import deeplift.layers.activations
    import deeplift.layers.core
    import deeplift.layers.helper_functions
    import deeplift.models
    import deeplift.util

    graph_api = tensorflow.compat.v1
    deeplift.util.tf = graph_api
    deeplift.layers.core.tf = graph_api
    deeplift.layers.activations.tf = graph_api
    deeplift.layers.helper_functions.tf = graph_api
    deeplift.util.get_session = graph_api.get_default_session
    return SimpleNamespace(
        tf=graph_api,
        core=deeplift.layers.core,
        activations=deeplift.layers.activations,
        models=deeplift.models,
        util=deeplift.util,
    )


def _connected_layers(
    library: SimpleNamespace, layers: Sequence[tuple[NDArray[Any], NDArray[Any]]]
) -> list[Any]:
    """Build the package's own layers: ReLU by the Rescale rule between, linear last."""
    core, activations = library.core, library.activations
    connected = [core.Input(batch_shape=(None, layers[0][0].shape[0]), name="input")]
    for number, (kernel, bias) in enumerate(layers):
        if number:
            connected.append(
                activations.ReLU(
                    nonlinear_mxts_mode=core.NonlinearMxtsMode.Rescale,
                    name=f"relu_{number}",
                    verbose=False,
                )
            )
        connected.append(
            core.Dense(
                kernel=kernel,
                bias=bias,
                dense_mxts_mode=core.DenseMxtsMode.Linear,
                name=f"dense_{number}",
                verbose=False,
            )
        )
    library.util.connect_list_of_layers(connected)
    return connected


def _share_weights(tf: Any, connected: list[Any]) -> None:
    """Store the weights of each dense layer in the graph only once.

    The package writes an array into the graph wherever it is used, about
    twenty times: a gigabyte for a network with 2,500 features.
    """
    for dense in connected[1::2]:
        transposed = dense.kernel.T
        dense.kernel = tf.constant(dense.kernel)
        dense.kernel.T = tf.constant(transposed)


def _scoring_function(library: SimpleNamespace, connected: list[Any]) -> Callable[..., Any]:
    """Return the package's own function from inputs and an output to contributions."""
    connected[-1].build_fwd_pass_vars()
    score: Callable[..., Any] = library.models.SequentialModel(connected).get_target_contribs_func(
        find_scores_layer_idx=0, target_layer_idx=-1
    )
    return score


def _scores_of_output(
    score: Callable[..., Any], inputs: NDArray[np.float32], target: int
) -> NDArray[np.float32]:
    rows = score(
        task_idx=target,
        input_data_list=[inputs],
        input_references_list=[0.0],
        batch_size=ROWS_AT_ONCE,
        progress_update=None,
    )
    return np.asarray(rows, dtype=np.float32).reshape(inputs.shape)
