"""What a researcher would use instead: SimpleITK's B-spline and diffeomorphic demons.

Both begin at the affine that the structures give, work on the films at 256 px with matched shades,
and go from coarse to fine. The pictures that the B-spline ends on are 128 px wide, as the frame of
this project's own network: at 256 px it takes four times as long and gains nothing here.
"""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk  # noqa: N813  # its own usual name
from numpy.typing import NDArray

from models import frame
from models.radiograph import Radiograph
from registration import affine
from registration.mapping import Mapping
from registration.warp import identity_grid, warp

SIZE = 256
Picture = NDArray[np.float32]


def picture(film: Radiograph) -> Picture:
    """(SIZE, SIZE) in [0, 1]: the film letterboxed, stretched."""
    shades = frame.percentiles(film.pixels)
    place = frame.fit(film.pixels.shape, SIZE)
    return frame.stretch(frame.to_frame(film.pixels, place), *shades)


def bspline(prior: Radiograph, current: Radiograph, start: affine.Affine) -> Mapping:
    """B-spline of 10 x 10 cells after the affine `start`, correlation at 64 and 128 px."""
    moving, fixed = _matched(picture(prior), picture(current), start)
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsCorrelation()
    method.SetOptimizerAsLBFGSB(1e-5, 20, 5, 30, 1e7)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetShrinkFactorsPerLevel([4, 2])
    method.SetSmoothingSigmasPerLevel([2.0, 1.0])
    transform = sitk.BSplineTransformInitializer(fixed, [10, 10])
    method.SetInitialTransform(transform, inPlace=True)
    method.Execute(fixed, moving)
    return _mapping(prior, current, start, _field_of(transform))


def demons(prior: Radiograph, current: Radiograph, start: affine.Affine) -> Mapping:
    """Diffeomorphic demons after the affine `start`, three resolutions, field smoothed."""
    moving, fixed = _matched(picture(prior), picture(current), start)
    engine = sitk.DiffeomorphicDemonsRegistrationFilter()
    engine.SetStandardDeviations(2.0)
    field = sitk.Image([1, 1], sitk.sitkVectorFloat64)
    for shrink, rounds in ((4, 40), (2, 30), (1, 15)):
        coarse = [
            sitk.Shrink(sitk.SmoothingRecursiveGaussian(one, shrink / 2), [shrink] * 2)
            if shrink > 1
            else one
            for one in (fixed, moving)
        ]
        engine.SetNumberOfIterations(rounds)
        if shrink == 4:
            field = engine.Execute(*coarse)
        else:
            field = engine.Execute(*coarse, sitk.Resample(field, coarse[0]))
    found = sitk.GetArrayFromImage(field)
    return _mapping(
        prior, current, start, np.stack([found[..., 1], found[..., 0]]).astype(np.float32)
    )


def _matched(
    moving: Picture, fixed: Picture, start: affine.Affine
) -> tuple[sitk.Image, sitk.Image]:
    """The moving picture carried by the affine, its histogram matched to the fixed one."""
    grid = identity_grid((SIZE, SIZE))
    carried = warp(moving, affine.apply(start, grid) - grid)
    images = [sitk.GetImageFromArray(one) for one in (carried, fixed)]
    matched = sitk.HistogramMatching(images[0], images[1], 256, 12, thresholdAtMeanIntensity=False)
    return matched, images[1]


def _field_of(transform: sitk.Transform) -> NDArray[np.float32]:
    image = sitk.TransformToDisplacementField(
        transform, sitk.sitkVectorFloat64, [SIZE, SIZE], [0.0, 0.0], [1.0, 1.0], [1, 0, 0, 1]
    )
    field = sitk.GetArrayFromImage(image)
    return np.stack([field[..., 1], field[..., 0]]).astype(np.float32)


def _mapping(
    prior: Radiograph, current: Radiograph, start: affine.Affine, field: NDArray[np.float32]
) -> Mapping:
    """On frames of SIZE; the way back is left out, these methods give none."""
    places = [frame.fit(film.pixels.shape, SIZE) for film in (prior, current)]
    return Mapping(places[0], places[1], start, field, np.zeros_like(field))
