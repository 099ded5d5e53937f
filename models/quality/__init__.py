"""Whether a film is a frontal chest film that can be scored; `check` refuses it if not."""

from models.quality.predict import check

__all__ = ["check"]
