# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The opendr_panoptic_ros authors

"""Worker processes on a Ray cluster: they keep what they have loaded, and their tasks survive the loss of machines.

docs/decisions/0006-workers-on-ray.md compares them with what Ray itself has.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, ParamSpec, TypeVar

from typing_extensions import override

from opendr_panoptic_ros.errors import PanopticError

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")

_LOG = logging.getLogger(__name__)
_QUEUED = 2  # tasks of a worker: one that runs, and the next one, which is there without a round trip
_TICK_S = 0.5
_GROWTH_CHECK_S = 10.0
_FIRST_WORKER_S = 120.0


class WorkerLostError(PanopticError):
    """A task was lost with its worker more often than it is retried. Another attempt may succeed."""


@dataclass(eq=False)
class _Task:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    options: dict[str, Any]
    future: Future[Any] = field(default_factory=Future)
    losses: int = 0


@dataclass(eq=False)
class _Worker:
    actor: Any
    ready: Any  # reference that is done when the process runs; None afterwards
    tasks: dict[Any, _Task] = field(default_factory=dict)  # by the reference of the result


class Shared(Generic[T]):
    """A value in the cluster's store, as an argument of functions in workers.

    Args:
        reference: Ray's reference to the value.
    """

    _fetched: ClassVar[dict[Any, Any]] = {}

    def __init__(self, reference: Any) -> None:
        self._reference = reference

    def get(self) -> T:
        """Return the value. A process keeps the one that it used last."""
        if self._reference not in self._fetched:
            self._fetched.clear()
            self._fetched[self._reference] = _import_ray().get(self._reference)
        value: T = self._fetched[self._reference]
        return value


class RayWorkers(Executor):
    """An executor whose workers are actors of a Ray cluster: one for each GPU, or one for some processor cores.

    Ray places the actors, starts them where there is room, and notices when one is lost with its process or machine.
    The tasks of a lost actor go to the others, and a new actor takes its place as soon as there is room. Machines that
    join the cluster get actors too. An error that a task raises is not retried.

    A worker runs one task at a time. Functions are sent by name; what they keep in their modules, such as a network,
    stays in the worker for its next task.

    Args:
        address: `auto` for the cluster that this machine belongs to, `ray://HOST:10001` or `HOST:6379` for another
            one, and None for a cluster of this machine alone, which ends with the context.
        cores: Processor cores of a worker.
        gpus: GPUs of a worker; None means one where the cluster has GPUs, else none.
        workers: Number of workers, for clusters that grow on demand; None means as many as the cluster has room for.
        retries: How often a task is repeated after its worker was lost.

    Attributes:
        workers: Number of tasks that run at once.

    Raises:
        PanopticError: Ray is not installed, the cluster cannot be reached, or it has no room for one worker.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        cores: float = 1,
        gpus: float | None = None,
        workers: int | None = None,
        retries: int = 3,
    ) -> None:
        if address is not None:
            _use_token()
        self._ray = _import_ray()
        self._retries = retries
        self._is_own = self._connect(address)
        try:
            self._gpus = (1.0 if self._ray.cluster_resources().get("GPU") else 0.0) if gpus is None else gpus
            self._cores, self._wanted = cores, workers
            self.workers = workers or self._room()
            if not self.workers:
                has = {name: self._ray.cluster_resources().get(name, 0) for name in ("CPU", "GPU")}
                raise PanopticError(
                    f"The Ray cluster has {has['CPU']:g} cores and {has['GPU']:g} GPUs; a worker takes {cores:g} cores "
                    f"and {self._gpus:g} GPUs. Give fewer with --cores."
                )
            self._host = self._ray.remote(num_cpus=cores, num_gpus=self._gpus, max_restarts=0)(_Host)
        except BaseException:
            self._disconnect()
            raise
        self._waiting: deque[_Task] = deque()
        self._workers: list[_Worker] = []
        self._lock = threading.Condition()
        self._is_closing = self._is_abandoned = False
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="ray workers", daemon=True)
        self._thread.start()

    @override
    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        task = _Task(fn, args, kwargs)
        with self._lock:
            if self._is_closing:
                raise RuntimeError("The workers have ended.") from self._error
            if self._error is not None:  # as tasks that were in work: their callers have to handle it anyway
                task.future.set_exception(self._error)
            else:
                self._waiting.append(task)
                self._lock.notify()
        return task.future

    @override
    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        with self._lock:
            self._is_closing = True
            if cancel_futures:
                for task in self._waiting:
                    task.future.cancel()
                self._waiting.clear()
            self._lock.notify()
        if wait:
            self._thread.join()
        self._disconnect()

    def abandon(self) -> None:
        """End all workers. What is waiting or in work fails with a `WorkerLostError`."""
        with self._lock:
            self._is_closing = self._is_abandoned = True
            self._lock.notify()

    def share(self, value: T) -> Shared[T]:
        """Store a value in the cluster, which each worker that needs it fetches once.

        Args:
            value: Any value that can be pickled.

        Returns:
            What functions in the workers get it from.
        """
        return Shared(self._ray.put(value))

    def map_in_order(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        """Yield the results of a function in the order of the items, with a bounded number of items in work.

        Args:
            function: Called in the workers.
            items: Its arguments.

        Yields:
            The results.
        """
        window: deque[Future[R]] = deque()
        rest = iter(items)
        try:
            for item in rest:
                window.append(self.submit(function, item))
                # Results that came early wait for the first one; more workers need more of them.
                if len(window) >= 4 * _QUEUED * max(self.workers, 1):
                    yield window.popleft().result()
            while window:
                yield window.popleft().result()
        finally:
            for future in window:
                future.cancel()

    def _connect(self, address: str | None) -> bool:
        """Connect to a cluster, or start one; return whether it was started here."""
        if self._ray.is_initialized():
            return False
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.WARNING}
        if address is None:  # otherwise Ray takes a cluster of RAY_ADDRESS, or one that runs on this machine
            options |= {"address": "local", "include_dashboard": False}
        else:
            options["address"] = address
        try:
            self._ray.init(**options)
        except Exception as error:
            raise PanopticError(f"The Ray cluster {address or 'of this machine'} cannot be used: {error}") from error
        return True

    def _disconnect(self) -> None:
        if self._is_own and self._ray.is_initialized():
            self._ray.shutdown()

    def _room(self) -> int:
        """Return how many workers the machines of the cluster hold."""
        count = 0
        for node in self._ray.nodes():
            if node["Alive"]:
                has = node["Resources"]
                rooms = [
                    has.get(name, 0) // each for name, each in (("CPU", self._cores), ("GPU", self._gpus)) if each > 0
                ]
                count += int(min(rooms)) if rooms else 0
        return count

    def _run(self) -> None:
        """Give tasks to workers and collect results, until `shutdown` and the last result."""
        try:
            next_check_s, started_s = 0.0, time.monotonic()
            while True:
                with self._lock:
                    is_idle = not self._waiting and not any(worker.tasks for worker in self._workers)
                    if self._is_abandoned:
                        raise WorkerLostError("The work was stopped.")
                    if self._is_closing and is_idle:
                        break
                    if is_idle and next_check_s > time.monotonic():
                        self._lock.wait(_TICK_S)
                        continue
                if time.monotonic() >= next_check_s:
                    next_check_s = time.monotonic() + _GROWTH_CHECK_S
                    self._grow()
                    self._require_a_worker(started_s)
                self._hand_out()
                self._collect()
        except Exception as error:  # noqa: BLE001 - the connection has ended: all futures get the reason
            self._fail(error)
        finally:
            for worker in self._workers:
                self._end(worker)

    def _grow(self) -> None:
        """Start workers up to the number that the cluster has room for."""
        if self._wanted is None:
            self.workers = max(self._room(), 1)
        while len(self._workers) < self.workers:
            actor = self._host.remote()
            self._workers.append(_Worker(actor, actor.ready.remote()))

    def _require_a_worker(self, started_s: float) -> None:
        """Log when no worker has been started for long."""
        if all(w.ready is not None for w in self._workers) and time.monotonic() - started_s > _FIRST_WORKER_S:
            _LOG.warning("No worker runs yet: the cluster has no free room for one. Waiting for it.")

    def _hand_out(self) -> None:
        ready = [worker for worker in self._workers if worker.ready is None]
        with self._lock:
            for depth in range(_QUEUED):
                for worker in ready:
                    if len(worker.tasks) == depth and self._waiting:
                        task = self._waiting.popleft()
                        is_first = task.losses == 0 and not task.future.running()
                        if is_first and not task.future.set_running_or_notify_cancel():
                            continue
                        reference = worker.actor.run.remote(task.function, task.arguments, task.options)
                        worker.tasks[reference] = task

    def _collect(self) -> None:
        """Wait a moment for results and starts, and handle them."""
        owners = {reference: worker for worker in self._workers for reference in worker.tasks}
        owners |= {worker.ready: worker for worker in self._workers if worker.ready is not None}
        if not owners:
            time.sleep(_TICK_S)
            return
        done, _ = self._ray.wait(list(owners), num_returns=1, timeout=_TICK_S)
        for reference in done:
            worker = owners[reference]
            if worker not in self._workers:  # it was lost with another of its tasks
                continue
            try:
                result = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                worker.tasks.pop(reference).future.set_exception(_cause(error))
            except self._ray.exceptions.RayError as error:
                self._replace(worker, error)
            else:
                if reference is worker.ready or reference == worker.ready:
                    worker.ready = None
                else:
                    worker.tasks.pop(reference).future.set_result(result)

    def _replace(self, worker: _Worker, error: Exception) -> None:
        """Give the tasks of a lost worker to others, and start another worker."""
        self._workers.remove(worker)
        self._end(worker)
        _LOG.warning("A worker was lost (%s); its tasks are repeated.", type(error).__name__)
        # The first task is the one that ran; it may be what ended the process. The next one had only been queued.
        for place, task in reversed(list(enumerate(worker.tasks.values()))):
            task.losses += place == 0
            if task.losses > self._retries:
                task.future.set_exception(
                    WorkerLostError(f"The worker was lost {task.losses} times during this task: {error}".split("\n")[0])
                )
            else:
                with self._lock:
                    self._waiting.appendleft(task)
        worker.tasks.clear()
        actor = self._host.remote()
        self._workers.append(_Worker(actor, actor.ready.remote()))

    def _end(self, worker: _Worker) -> None:
        try:
            self._ray.kill(worker.actor)
        except Exception:  # noqa: BLE001 - it has ended already
            _LOG.debug("The worker has ended already.")

    def _fail(self, error: Exception) -> None:
        is_stop = isinstance(error, WorkerLostError)
        reason = error if is_stop else WorkerLostError(f"The connection to the Ray cluster was lost: {error}")
        with self._lock:
            self._error = reason
            tasks = [*self._waiting, *(task for worker in self._workers for task in worker.tasks.values())]
            self._waiting.clear()
        for task in tasks:
            if task.future.running() or task.future.set_running_or_notify_cancel():
                task.future.set_exception(reason)


class _Host:
    """The process of a worker. It must not use more cores than it has, whatever the machine has."""

    def __init__(self) -> None:
        import ray

        cores = max(1, int(ray.get_runtime_context().get_assigned_resources().get("CPU", 1)))
        os.environ["OMP_NUM_THREADS"] = str(cores)  # PyTorch reads it when it is imported, which is not yet

    def ready(self) -> bool:
        return True

    def run(self, function: Callable[..., Any], arguments: tuple[Any, ...], options: dict[str, Any]) -> Any:
        return function(*arguments, **options)


def _cause(error: Any) -> Exception:
    """Return the error that a task raised."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, Exception) else PanopticError(str(error))


def _use_token() -> None:
    """Use the token of this machine for a cluster, as `ray start` does: `ray.init` does so for new clusters alone."""
    path = Path(os.environ.get("RAY_AUTH_TOKEN_PATH", "~/.ray/auth_token")).expanduser()
    if "RAY_AUTH_MODE" not in os.environ and (os.environ.get("RAY_AUTH_TOKEN") or path.is_file()):
        os.environ["RAY_AUTH_MODE"] = "token"  # read when Ray is imported


def _import_ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise PanopticError(
            "--engine ray needs Ray: install the extra, pip install 'opendr_panoptic_ros[fleet]'."
        ) from error
    return ray
