"""The backend of matplotlib: Agg, whose `show()` gives the open figures at that moment and closes them (as Jupyter).

A snapshot has it, and no matplotlib: it is made when pyplot asks for it.
"""

from . import display


def __getattr__(name: str) -> type:
    if name != 'FigureCanvas':
        raise AttributeError(name)
    from matplotlib.backend_bases import FigureManagerBase
    from matplotlib.backends.backend_agg import FigureCanvasAgg

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

    globals()[name] = FigureCanvas
    return FigureCanvas
