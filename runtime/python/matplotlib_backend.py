"""The backend of matplotlib: Agg, whose `show()` shows the open figures at once and closes them (like Jupyter).

The snapshot has this module but not matplotlib, so its classes are made when pyplot asks for them.
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
        """The canvas of figures."""

        manager_class = FigureManager

    globals()[name] = FigureCanvas
    return FigureCanvas
