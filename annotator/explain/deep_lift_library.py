"""The ``deeplift`` package, made to run beside Keras 3.

The package was written for the graphs of TensorFlow 1. Three things let it live
in a process that also trains eager Keras models: its modules see
``tensorflow.compat.v1`` under the name ``tf`` (and nobody else's do), it takes
the session that is the default at the moment of the call, and every network is
built in a graph of its own.
"""

from __future__ import annotations

import os
from functools import cache
from threading import Lock
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

ROWS_AT_ONCE = 256  # a chunk of 2,500 features then needs some 100 MB


@cache
def _library() -> SimpleNamespace:
    """Import TensorFlow and deeplift, and bind the one to the other."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # no start-up chatter on stderr
    import deeplift.layers.activations
    import deeplift.layers.core
    import deeplift.layers.helper_functions
    import deeplift.models
    import deeplift.util
    import tensorflow

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
    """Keep the weights of each dense layer in the graph once.

    As shipped, an array is written into the graph anew wherever it is used,
    some twenty times: a gigabyte for a network of 2,500 features.
    """
    for dense in connected[1::2]:
        transposed = dense.kernel.T
        dense.kernel = tf.constant(dense.kernel)
        dense.kernel.T = tf.constant(transposed)


def _prepare_target(tf: Any, target: Any, session: Any) -> None:
    """Let the output layer choose its class by one operation that is built once.

    As shipped, each call adds assignments to the graph: it would grow for as
    long as the process lives, and could not be finalized.
    """
    classes = target.get_shape()[1]
    wanted = tf.placeholder(tf.float32, shape=(classes,), name="wanted_class")
    target.task_vector = tf.Variable(np.zeros(classes, np.float32), name="class_vector")
    choose = tf.assign(target.task_vector, wanted)

    def update_task_vector() -> None:
        vector = np.zeros(classes, np.float32)
        vector[target._task_index] = target._active
        session.run(choose, feed_dict={wanted: vector})

    target._task_index, target._active = 0, 0.0
    target.update_task_vector = update_task_vector


class LibraryGraph:
    """One network in a finalized graph of its own.

    Parameters
    ----------
    layers
        Dense layers from the inputs to the output: kernel ``(in, out)`` and
        bias ``(out,)``, float32, with a ReLU after each but the last.
    threads
        Processor threads that it may use; 0 leaves the choice to TensorFlow.

    Notes
    -----
    The weights are constants of the graph, so an instance serves one model and
    is closed with it. Calls from several threads wait for one another.
    """

    def __init__(self, layers: Sequence[tuple[NDArray[Any], NDArray[Any]]], threads: int) -> None:
        library = _library()
        tf = library.tf
        self._lock = Lock()
        self._graph = tf.Graph()
        # An explanation is small: leave accelerators to the training.
        configuration = tf.ConfigProto(
            device_count={"GPU": 0},
            intra_op_parallelism_threads=threads,
            inter_op_parallelism_threads=threads,
        )
        self._session = tf.Session(graph=self._graph, config=configuration)
        with self._graph.as_default(), self._session.as_default():
            connected = _connected_layers(library, layers)
            _share_weights(tf, connected)
            connected[-1].build_fwd_pass_vars()
            _prepare_target(tf, connected[-1], self._session)
            score: Callable[..., Any] = library.models.SequentialModel(
                connected
            ).get_target_contribs_func(find_scores_layer_idx=0, target_layer_idx=-1)
            self._session.run(tf.global_variables_initializer())
        self._graph.finalize()
        self._score = score

    @property
    def operations(self) -> int:
        """Number of operations in the graph."""
        return len(self._graph.get_operations())

    def contributions(self, inputs: NDArray[np.float32], target: int) -> NDArray[np.float32]:
        """Return what each input added to one output, against a reference of zeros.

        Parameters
        ----------
        inputs
            Shape ``(samples, features)``, float32.
        target
            Output of the last layer, one for all samples.

        Returns
        -------
        ndarray
            Shape ``(samples, features)``, float32.
        """
        with self._lock, self._session.as_default():
            rows = self._score(
                task_idx=target,
                input_data_list=[inputs],
                input_references_list=[0.0],
                batch_size=ROWS_AT_ONCE,
                progress_update=None,
            )
        return np.asarray(rows, dtype=np.float32).reshape(inputs.shape)

    def close(self) -> None:
        """Free the session and the graph, after the call that another thread may be in."""
        with self._lock:
            self._session.close()
            del self._session, self._graph, self._score
