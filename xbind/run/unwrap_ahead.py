"""The layout of the texture, computed while Phase III optimises its colours."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from xbind.algorithm.iteration import Phase
from xbind.algorithm.surface import FrozenShape
from xbind.algorithm.surface_phase import SurfacePhase
from xbind.config.presets import TextureConfig
from xbind.scene.mesh.baking import UnwrappedMesh, unwrap
from xbind.scene.mesh.mesh import Mesh


class UnwrapAhead:
    """Unwraps the mesh in another thread from the start of Phase III, which leaves its shape alone.

    Used as a context manager, which waits for the thread.
    """

    def __init__(self, config: TextureConfig, threads: int) -> None:
        """With one thread, the mesh is unwrapped when it is asked for."""
        self._config = config
        self._pool = ThreadPoolExecutor(1, "unwrap") if threads > 1 else None
        self._started: tuple[Mesh, Future[UnwrappedMesh]] | None = None

    def __enter__(self) -> "UnwrapAhead":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)

    def phase_started(self, phase: Phase) -> None:
        """Begin if it is Phase III."""
        if self._pool is None or not isinstance(phase, SurfacePhase):
            return
        if isinstance(phase.shape, FrozenShape):
            mesh = phase.shape.mesh
            self._started = mesh, self._pool.submit(self._unwrap, mesh)

    def result(self, mesh: Mesh) -> UnwrappedMesh:
        """The layout of the mesh, computed now if it was not begun.

        Raises:
            MeshFileError: the mesh has no faces.
        """
        if self._started is not None and self._started[0] is mesh:
            return self._started[1].result()
        return self._unwrap(mesh)

    def _unwrap(self, mesh: Mesh) -> UnwrappedMesh:
        return unwrap(mesh, self._config.texture_px, self._config.unwrap)
