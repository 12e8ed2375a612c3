"""The backend of matplotlib: Agg, whose `show()` gives the open figures at that moment and closes them (as Jupyter)."""

from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from . import display


class FigureManager(FigureManagerBase):
    """Shows figures with the run's result."""

    @classmethod
    def pyplot_show(cls, *, block: bool | None = None) -> None:
        """As `pyplot.show`."""
        display.show_figures()

    def show(self) -> None:
        """As `Figure.show`: the figure stays open."""
        display.display(self.canvas.figure)


class FigureCanvas(FigureCanvasAgg):
    """What figures are drawn on."""

    manager_class = FigureManager
