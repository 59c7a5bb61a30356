"""DVC's books of a run whose stages somebody else runs: which are left, their outs, the run-cache, dvc.lock (`xkd.sweep`)."""

import logging
import sys
from contextlib import chdir, contextmanager

from xkd.errors import XkdError
from xkd.tasks import missing


def tell(sentence):
    print(f"xkd: {sentence}", flush=True)


@contextmanager
def books_of(root, targets):
    """The `Books` of the checkout `root`, on whose stages no other DVC process works meanwhile. Errors: one does, or DVC's own."""
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.rwlock import rwlock

    logging.getLogger("dvc").setLevel(logging.WARNING)  # `tell` says it
    try:
        # DVC names stages and targets as seen from the working directory.
        with chdir(root), Repo() as repo, repo.scm_context():
            books = Books(repo, targets)
            read = [dep.fs_path for stage in books.plan for dep in stage.deps]
            write = [out.fs_path for stage in books.plan for out in stage.outs]
            hardlink = repo.config["core"].get("hardlink_lock", False)
            # The same words as DVC's own functions use below: they are the owner's.
            with rwlock(repo.tmp_dir, repo.fs, " ".join(sys.argv), read, write, hardlink):
                yield books
    except DvcException as error:
        said = " ".join(str(error).partition("\n\n")[0].split())
        raise XkdError(f"DVC: {said}") from error


class Books:
    """DVC's part of a run, stage by stage: what `dvc.stage.Stage.run` does before and after the command, on this machine alone.

    plan: the stages, in the order of `dvc repro`; over: those that are up to date -> whether dvc.lock has to be told.
    """

    def __init__(self, repo, targets):
        from dvc.dvcfile import PROJECT_FILE
        from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro

        self.repo, self.graph = repo, get_active_graph(repo.index.graph)  # from a stage to those that it needs
        self.plan = plan_repro(self.graph, collect_stages(repo, targets or [PROJECT_FILE]))
        self.over, self.unwritten = {}, list(self.plan)

    def needs(self, stage):
        """The stages whose outs it reads."""
        return set(self.graph.successors(stage))

    def turn(self, stage):
        """How a stage whose deps are all there came to be up to date, in words; None, and its outs are removed, if it has to run."""
        from dvc.stage.cache import RunCacheNotFoundError

        with self.locked():
            if not stage.cmd or stage.frozen:  # nothing to run: data that `dvc add` hashes
                self.over[stage] = bool(stage.reproduce())
                return "is up to date"
            if not stage.changed():
                self.over[stage] = False
                return "is up to date"
            stage.remove_outs()
            try:
                self.repo.stage_cache.restore(stage)
            except RunCacheNotFoundError:
                return None
            self._save(stage)
            return "was run before: out of DVC's run-cache"

    def keep(self, stage):
        """Hashes what a stage that has run left, into the cache; -> None, or a sentence on what it has not left."""
        lost = missing([out.fs_path for out in stage.outs])
        if lost:
            return f"ended well, and {lost} is not there."
        with self.locked():
            self._save(stage)

    def _save(self, stage):
        # As Stage.run: outs that neither the cache nor a metric keeps, such as docs/results, are not in the run-cache.
        cached = all(out.use_cache or out.is_metric or out.is_plot for out in stage.outs)
        stage.save(run_cache=cached)
        stage.commit()
        self.over[stage] = True

    def write(self, gaps=False):
        """Tells dvc.lock of the stages that are over, up to the first in the plan that is not; with `gaps` of those behind it, too."""
        for stage in list(self.unwritten):
            if stage in self.over:
                if self.over[stage]:
                    with self.locked():
                        stage.dump(update_pipeline=False)
                self.unwritten.remove(stage)
            elif not gaps:
                break

    @contextmanager
    def locked(self):
        """DVC's lock of the checkout, held only while the books are written, and waited for: somebody may look at `dvc status`."""
        from dvc.lock import LockError

        while True:
            try:
                self.repo.lock.lock()
                break
            except LockError:  # after some seconds
                tell("waits for another DVC process in this checkout")
        try:
            self.repo._reset()  # as DVC does wherever it takes the lock: what it remembers of files may be old
            yield
        finally:
            self.repo.lock.unlock()
