"""Classical augmentation of whole batches on the device."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import ClassVar

import torch
from pydantic import Field
from torch import Tensor

from augury.colour import brightness, contrast, saturation
from augury.errors import SettingsError
from augury.random_policies import rand_augment, resample, trivial_augment
from augury.settings import Recipe, nearest

FAMILIES = (
    "flip",
    "flip_vertical",
    "shift",
    "rotate",
    "crop",
    "scale",
    "shear",
    "colour",
    "elastic",
    "erase",
    "five_crop",
)
POLICY_FAMILIES = ("shift", "rotate", "shear", "colour")  # what TrivialAugment and RandAugment draw from

Size = tuple[int, int]

SMOOTH = 4 / 29  # Simard et al.: a Gaussian of 4 pixels on images of 29
KNOTS = 8  # random points per side of an elastic field: denser ones would be smoothed away
NARROWEST = 0.3  # Zhong et al.: a rectangle's sides are at most as 0.3 to 1


def _all_but(*left_out: str) -> tuple[str, ...]:
    return tuple(name for name in FAMILIES if name not in left_out)


MODALITIES: dict[str, tuple[str, ...]] = {
    # the heart has a side, and up is up
    "chest": _all_but("flip", "flip_vertical"),
    # axial slices: heart, liver and spleen have a side. Published COVID-CT studies flip both ways all the same: whoever
    # repeats one adds "flip" and "flip_vertical" by name
    "ct": _all_but("flip", "flip_vertical"),
    # the probe is above: shadows fall downwards; and a margin that was bent into spikes is another finding
    "ultrasound": _all_but("flip_vertical", "elastic"),
    # a lesion has no orientation
    "dermoscopy": FAMILIES,
    # neither has a slide under the microscope
    "histology": FAMILIES,
    # a mirrored right eye looks like a left one; none is upside down
    "retina": _all_but("flip_vertical"),
    # a mirrored 2 is no digit
    "digits": _all_but("flip", "flip_vertical"),
    # a scratch is a scratch either way round
    "surface": FAMILIES,
}


def safe_families(names: tuple[str, ...] | str) -> tuple[str, ...]:
    """Expand names of modalities among names of families.

    Args:
        names: Families (`flip`) and modalities (`dermoscopy`), or a single one.

    Returns:
        Families, each once, in the order of FAMILIES.

    Raises:
        SettingsError: If a name is neither.

    Example:
        >>> safe_families(("rotate", "flip", "rotate"))
        ('flip', 'rotate')
        >>> "flip" in safe_families("chest")
        False
    """
    found: set[str] = set()
    for name in (names,) if isinstance(names, str) else names:
        if name not in FAMILIES and name not in MODALITIES:
            raise SettingsError(
                f"there is no augmentation or modality {name!r}{nearest(name, [*FAMILIES, *MODALITIES])}"
            )
        found.update(MODALITIES.get(name, (name,)))
    return tuple(family for family in FAMILIES if family in found)


class Augment(Recipe):
    """Random changes of position, colour and content; all off by default.

    None of them is harmless everywhere: a flipped chest has its heart on the wrong side, a turned 6 is a 9.
    A study therefore declares which families are safe for its images, and refuses the others.

    Reference: elastic: Simard et al. 2003, section 2. erase: Zhong et al. 2020 (arXiv 1708.04896), algorithm 1.
    trivial: Müller & Hutter 2021 (arXiv 2103.10158). rand: Cubuk et al. 2020 (arXiv 1909.13719).

    Example:
        >>> Augment(shift=0.1, rotate=10.0).families()
        ('shift', 'rotate')
    """

    kind: ClassVar[str] = "augment"
    flip: bool = Field(default=False, description="mirror left and right, every second image")
    flip_vertical: bool = Field(default=False, description="mirror top and bottom, every second image")
    shift: float = Field(default=0.0, ge=0, le=0.5, description="largest shift, as a share of the side")
    rotate: float = Field(default=0.0, ge=0, le=180, description="largest rotation, degrees")
    crop: float = Field(default=1.0, gt=0, le=1, description="smallest share of the side that is kept; 1 keeps all")
    share: float = Field(
        default=0.5, gt=0, le=1, description="share of the images that are moved, coloured or erased at all"
    )
    scale: float = Field(default=0.0, ge=0, le=0.9, description="largest zoom in or out, as a share")
    colour: float = Field(
        default=0.0, ge=0, le=1, description="brightness, contrast and saturation by a factor of up to 1 +- colour"
    )
    elastic: float = Field(
        default=0.0, ge=0, le=0.15, description="largest displacement of a smooth random warp, as a share of the side"
    )
    erase: float = Field(default=0.0, ge=0, lt=1, description="largest share of the area under one grey rectangle")
    five_crop: float = Field(
        default=1.0, gt=0, le=1, description="share of the side of four corner crops and a middle one; 1 is off"
    )
    trivial: bool = Field(default=False, description="TrivialAugment: one random operation for every image")
    rand: int = Field(default=0, ge=0, le=14, description="RandAugment: operations for every image, one by one")
    magnitude: float = Field(default=0.3, ge=0, le=1, description="strength of RandAugment")

    def families(self) -> tuple[str, ...]:
        """Return the names of what is switched on; TrivialAugment and RandAugment stand for what they draw from."""
        fields = Augment.model_fields
        on = {name for name in FAMILIES if name in fields and getattr(self, name) != fields[name].default}
        drawn = POLICY_FAMILIES if self.trivial or self.rand else ()
        return tuple(name for name in FAMILIES if name in on or name in drawn)

    def apply(self, images: Tensor) -> Tensor:
        """Augment a training batch; draws from torch's current generator.

        Args:
            images: float (B, C, H, W) in -1..1, C = 1 or 3.

        Returns:
            The same shape. All that moves pixels is one resampling (bilinear, edges mirrored), so that quality is lost
            once only; operations of TrivialAugment and RandAugment come before it.
        """
        if not self.families():
            return images
        if self.trivial:
            images = trivial_augment(images)
        if self.rand:
            images = rand_augment(images, self.rand, self.magnitude)
        # drawn on the CPU, and always all of them: one seed gives one augmentation on every device
        turn, crop, dx, dy, flip_x, flip_y, chosen = torch.rand(7, len(images))
        # resampling smooths: a network that never saw an untouched image would not know the sharp ones it is scored on
        touched = chosen < self.share
        images = self._moved(images, torch.stack([turn, crop, dx, dy]), touched)
        if self.colour:
            images = _some(images, touched, self._coloured)
        if self.erase:
            images = _some(images, touched, self._erased)
        if self.flip:
            images = _some(images, flip_x < 0.5, lambda rows: rows.flip(3))
        if self.flip_vertical:
            images = _some(images, flip_y < 0.5, lambda rows: rows.flip(2))
        return images

    def views(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return what predictions are averaged over: the images, or with `five_crop` their five crops.

        Args:
            images: float (B, C, H, W).

        Returns:
            One batch or five, each float (B, C, H, W): top left, top right, bottom left, bottom right, middle.

        Reference: Krizhevsky et al. 2012, section 4.1, without the mirrored five.

        Example:
            >>> len(Augment(five_crop=0.875).views(torch.zeros(2, 1, 16, 16)))
            5
        """
        if self.five_crop == 1:
            return (images,)
        crops = _five_crops(self.five_crop)
        return tuple(resample(images, crop.expand(len(images), 2, 3)) for crop in crops)

    def _moved(self, images: Tensor, chances: Tensor, touched: Tensor) -> Tensor:
        """Take shift, rotation, crop, zoom, warp and one of five crops in one resampling."""
        if not (self.shift or self.rotate or self.crop < 1 or self.scale or self.elastic or self.five_crop < 1):
            return images
        size = images.shape[-2:]
        matrices = self._matrices(chances, touched, size[0] / size[1])
        warps = self._warps(touched, (size[0], size[1])) if self.elastic else None
        if self.five_crop < 1:  # the others happen inside the crop; what lies around it is at hand
            matrices = matrices * self.five_crop
            matrices[:, :, 2] += _five_crops(self.five_crop)[torch.randint(5, (len(images),)), :, 2]
            warps = None if warps is None else warps * self.five_crop
            return resample(images, matrices, warps)
        rows = touched.nonzero().flatten()
        part = None if warps is None else warps[rows]
        return _some(images, touched, lambda chosen: resample(chosen, matrices[rows], part))

    def _matrices(self, chances: Tensor, touched: Tensor, aspect: float) -> Tensor:
        """Return (B, 2, 3): from output coordinates to input coordinates, both -1..1; aspect is H / W."""
        turn, crop, dx, dy = chances
        angle = touched * (2 * turn - 1) * math.radians(self.rotate)
        kept = 1 - touched * (1 - self.crop) * crop
        room = (1 - kept) + 2 * self.shift * touched
        moved = (2 * torch.stack([dx, dy], 1) - 1) * room[:, None]
        if self.scale:  # about the middle of what is kept
            kept = kept / (1 + touched * self.scale * (2 * torch.rand(1, len(turn))[0] - 1))
        cos, sin = torch.cos(angle) * kept, torch.sin(angle) * kept
        # turning must not shear an image that is not square
        rows = [torch.stack([cos, -sin * aspect, moved[:, 0]], 1), torch.stack([sin / aspect, cos, moved[:, 1]], 1)]
        return torch.stack(rows, 1)

    def _warps(self, touched: Tensor, size: Size) -> Tensor:
        """Return displacements (B, H, W, 2), in units of half a side; the farthest is up to `elastic` of the side."""
        farthest = touched * 2 * self.elastic * torch.rand(len(touched))
        return _smooth_fields(len(touched), size) * farthest.view(-1, 1, 1, 1)

    def _coloured(self, images: Tensor) -> Tensor:
        factors = 1 + self.colour * (2 * torch.rand(3, len(images)) - 1).to(images.device)
        shown = (images + 1).div_(2)
        for operation, factor in zip((brightness, contrast, saturation), factors, strict=True):
            shown = operation(shown, factor)
        return shown.mul(2).sub_(1)

    def _erased(self, images: Tensor) -> Tensor:
        """Fill one rectangle per image with the image's mean colour."""
        H, W = images.shape[-2:]
        share, shape, y, x = torch.rand(4, len(images))
        area = share * self.erase * H * W
        slender = torch.exp((2 * shape - 1) * math.log(NARROWEST))  # height to width
        tall = (area * slender).sqrt().clamp(max=H).maximum(area / W)  # so that the width fits, too
        height, width = tall.floor(), (area / tall).floor().clamp(max=W)
        top, left = (y * (H - height + 1)).floor(), (x * (W - width + 1)).floor()
        inside = rectangles(top, top + height, left, left + width, (H, W)).to(images.device)
        return torch.where(inside, images.mean((2, 3), keepdim=True), images)


def rectangles(top: Tensor, bottom: Tensor, left: Tensor, right: Tensor, size: Size) -> Tensor:
    """Mark one rectangle per image.

    Args:
        top: First row inside, (B,).
        bottom: First row below, (B,).
        left: First column inside, (B,).
        right: First column beyond, (B,).
        size: H and W.

    Returns:
        bool (B, 1, H, W), true inside.

    Example:
        >>> edges = [torch.tensor([edge]) for edge in (0, 2, 1, 4)]
        >>> int(rectangles(*edges, (8, 8)).sum())
        6
    """
    rows, columns = torch.arange(size[0]), torch.arange(size[1])
    vertical = (rows >= top[:, None]) & (rows < bottom[:, None])
    horizontal = (columns >= left[:, None]) & (columns < right[:, None])
    return (vertical[:, :, None] & horizontal[:, None, :])[:, None]


def _some(images: Tensor, chosen: Tensor, operation: Callable[[Tensor], Tensor]) -> Tensor:
    """Change some images of a batch, and leave the others as they are to the bit."""
    rows = chosen.nonzero().flatten().to(images.device)
    if len(rows) in (0, len(images)):
        return operation(images) if len(rows) else images
    return images.index_copy(0, rows, operation(images[rows]))


def _five_crops(share: float) -> Tensor:
    """Return (5, 2, 3): from a crop's coordinates to the image's; four corners and the middle."""
    corners = torch.tensor([[-1.0, -1.0], [1.0, -1.0], [-1.0, 1.0], [1.0, 1.0], [0.0, 0.0]])
    return torch.cat([(share * torch.eye(2)).expand(5, 2, 2), (1 - share) * corners[:, :, None]], 2)


def _smooth_fields(n: int, size: Size) -> Tensor:
    """Return random vector fields (n, H, W, 2): noise under a Gaussian, the longest vector of each of length 1."""
    noise = 2 * torch.rand(n, 2, KNOTS, KNOTS) - 1
    fields = _gaussians(size[0]) @ noise @ _gaussians(size[1]).T
    longest = fields.square().sum(1).amax((1, 2)).sqrt()
    return (fields / longest.view(-1, 1, 1, 1)).permute(0, 2, 3, 1)


def _gaussians(side: int) -> Tensor:
    """Return the weights of the knots at each pixel, (side, KNOTS); rows sum to 1."""
    pixels, knots = (torch.arange(side) + 0.5) / side, (torch.arange(KNOTS) + 0.5) / KNOTS
    return torch.softmax(-((pixels[:, None] - knots) ** 2) / (2 * SMOOTH**2), 1)
