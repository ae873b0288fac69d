"""Plans that are valid but odd: any steps in any order, extreme numbers, and all the rules for sizes."""

from hypothesis import strategies as st

from runtime import Plan
from runtime.ops import (
    AlignLongAxis,
    Branch,
    Cast,
    CenterCrop,
    ChannelsLast,
    Clamp,
    ConvertRGB,
    CropMargin,
    CropShare,
    CropToRatio,
    FlipChannels,
    Grayscale,
    ImageSize,
    InferLayout,
    Interpolate,
    Normalize,
    Pad,
    PadToLargest,
    Quantize,
    Rescale,
    Resize,
    ResizeKeras,
    ResizeOpenCV,
    ResizeSmoothed,
    ScaleOffset,
)
from runtime.ops import resize_keras as keras
from runtime.ops.center_crop import RULES as CROPS
from runtime.ops.pad import MODES
from runtime.ops.resize import FILTERS, ORDERS, WEIGHTS
from runtime.ops.size import LONGEST_SIDE, MOST_PIXELS, RULES, Size
from runtime.plan import REFERENCES

EXTREMES = [0.0, -0.0, 1.0, -1.0, 0.5, 1 / 255, 255.0, 1e-45, 1e-30, 1e30]

flags = st.booleans()
edges = st.one_of(st.integers(1, 9), st.integers(1, 80), st.sampled_from([31, 32, 64, LONGEST_SIDE]))
numbers = st.one_of(st.sampled_from(EXTREMES), st.floats(-3, 3, width=32), st.floats(-1e6, 1e6))
rounding = st.sampled_from([(), (), (), ("floor_to",), ("ceil_to",)])
crops = st.sampled_from(CROPS)
precisions = st.sampled_from(["float64", "float32"])


@st.composite
def sizes(draw):
    keys = (*draw(st.sampled_from([rule for rule in RULES if rule])), *draw(rounding))
    return Size(**draw(st.fixed_dictionaries(dict.fromkeys(keys, edges)).filter(possible)))


def possible(keys):
    return keys.get("height", 1) * keys.get("width", 1) <= MOST_PIXELS


def fixed():
    return st.fixed_dictionaries({"height": edges, "width": edges}).filter(possible).map(lambda keys: Size(**keys))


def several(count):
    return st.tuples(*[numbers] * count)


def built(kind, *fields):
    """Steps of a class, but for values that it refuses."""

    def build(*values):
        try:
            return kind(*values)
        except ValueError:
            return None

    return st.builds(build, *fields).filter(lambda step: step is not None)


per_channel = st.sampled_from([1, 3, 3, 3, 4]).flatmap(several)
OWN = {
    AlignLongAxis: built(AlignLongAxis, flags),
    Cast: built(Cast, st.sampled_from(["float32", "float16"])),
    CenterCrop: built(CenterCrop, edges, edges, crops),
    ChannelsLast: built(ChannelsLast),
    Clamp: built(Clamp, numbers, numbers),
    ConvertRGB: built(ConvertRGB),
    CropMargin: built(CropMargin, flags),
    CropShare: built(CropShare, edges, edges, edges, edges, crops, flags),
    CropToRatio: built(CropToRatio, edges, edges),
    FlipChannels: built(FlipChannels),
    Grayscale: built(Grayscale, flags),
    ImageSize: built(ImageSize, st.just("sizes"), st.sampled_from(["int64", "float32"])),
    InferLayout: built(InferLayout),
    Interpolate: built(Interpolate, sizes(), st.sampled_from(["bilinear", "bicubic"]), flags, flags),
    Normalize: built(Normalize, per_channel, per_channel),
    Pad: built(
        Pad, sizes(), st.one_of(several(1), several(3), st.just((1.0, 2.0, 3.0))), flags, st.sampled_from(MODES), flags,
        st.sampled_from(["", "mask"]),
    ),
    PadToLargest: built(PadToLargest, st.sampled_from(["", "largest"])),
    Quantize: built(Quantize, several(6), precisions),
    Rescale: built(Rescale, numbers, numbers, precisions),
    Resize: built(
        Resize, sizes(), st.sampled_from(sorted(FILTERS)), st.sampled_from(ORDERS), st.sampled_from(WEIGHTS),
        st.sampled_from([True, True, False]), st.sampled_from([0.0, 0.0, 1.0, 2.0, 3.5]),
    ),
    ResizeKeras: built(ResizeKeras, fixed(), st.sampled_from(sorted(keras.FILTERS)), flags),
    ResizeOpenCV: built(ResizeOpenCV, sizes()),
    ResizeSmoothed: built(ResizeSmoothed, fixed(), st.sampled_from(["scipy", "torchvision"]), flags),
    ScaleOffset: built(ScaleOffset, per_channel, per_channel),
}  # fmt: skip
inner = st.lists(st.one_of(*OWN.values()), max_size=3).map(tuple)
STEPS = {**OWN, Branch: built(Branch, st.just("branch"), inner)}


def fitting(steps, reference, channels, layout):
    """A Plan of those of the steps that can stand where they do."""
    kept = ()
    for step in steps:
        try:
            Plan((*kept, step), reference, channels=channels)
        except ValueError:
            continue
        kept = (*kept, step)
    return Plan(kept, reference, channels=channels, layout=layout)


plans = st.builds(
    fitting,
    st.lists(st.one_of(*STEPS.values()), min_size=1, max_size=6),
    st.sampled_from(REFERENCES),
    st.sampled_from([3, 3, 3, 3, 1, 4]),
    st.sampled_from(["NHWC", "NCHW"]),
)
