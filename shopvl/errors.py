"""What a user can cause. Each message says what came, what was wanted and what to do."""


class ShopvlError(Exception):
    """Parent of every error a user can cause; the command line prints it as one sentence and exits with 1."""


class DamagedError(ShopvlError):
    """A file of shopvl's own that is not as it was written."""


class CatalogError(ShopvlError):
    """A table that cannot be read as a catalog."""


class ImageError(ShopvlError):
    """A picture that cannot be used; the row goes to the rejects with this reason."""


class HostError(ImageError):
    """A download that failed in a way that may pass: its host is slow, busy or away."""


class RecipeError(ShopvlError):
    """A recipe or experiment file with faults; carries all of them."""


class DesignError(ShopvlError):
    """A model folder that is incomplete, from elsewhere, or does not fit the task."""


class MissingInputError(DesignError):
    """An objective or a part of a model was not given what it reads."""


class IndexFolderError(ShopvlError):
    """An index folder that is incomplete or was made by another model."""


class ReviewError(ShopvlError):
    """A review sheet, or the tags for one, that cannot be read as such."""


class TrackingError(ShopvlError):
    """A tracking server or a tracked run that is not there, or does not hold what was asked of it."""
