"""What a run is trained on, as hyperparameters."""

from dataclasses import dataclass

from foundations.hparams import Hparams, hp

CROP_BORDERS = BLACK, REFLECTED = ("black", "reflected")
FLIPS = RANDOM, ALTERNATING = ("random", "alternating")


@dataclass(frozen=True, kw_only=True)
class DataHparams(Hparams):
    """The data set, the size of a batch, and what is done to the training images and labels."""

    dataset: str = "cifar10"
    """Data set: a registered name, image_folder:NAME for images in --data_dir/NAME/{train,test}/CLASS/, or
    arrays:FILE.npz for the arrays x_train, y_train, x_test and y_test of a file in --data_dir."""

    batch_size: int = hp(128, within="[1, inf)")
    """Images in a training step; the last batch of an epoch may be smaller."""

    normalization: str = hp("standardize", choices=("standardize", "unit", "none"), absent="standardize")
    """Inputs of the network: (pixel - mean) / standard deviation of each channel (standardize), pixels in [0, 1]
    (unit), or values as stored (none). Features that are no images stay as stored under standardize too. SynFlow's
    pixels are in [0, 1] whatever this is."""

    do_not_augment: bool = False
    """Train on the images as they are, without random crops and flips."""

    crop_border: str = hp("black", choices=CROP_BORDERS, absent="black")
    """What random crops reach beyond an image: black pixels, or the image mirrored at its edge (reflected)."""

    flips: str = hp("random", choices=FLIPS, absent="random")
    """Whether an image is mirrored: drawn anew in each epoch, or drawn once and then in every other epoch
    (alternating)."""

    subsample_fraction: float = hp(1.0, within="(0, 1]")
    """Fraction of the training images that is kept, in the same proportion of every class."""

    random_labels_fraction: float = hp(0.0, within="[0, 1]")
    """Fraction of the training labels that is replaced by a random class (the right one, now and then)."""

    transformation_seed: int = hp(0, within="[0, inf)")
    """Seed of the subsample, of the random labels and of the validation set; the same for all replicates."""

    validation_fraction: float = hp(0.0, within="[0, 1)", absent=0.0)
    """Fraction of the training images that is held out as a validation set, in the same proportion of every class."""
