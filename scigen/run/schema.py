"""What a training config may say: one schema per domain, frozen, unknown keys refused."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from pydantic import Field

from scigen.run.schema_base import Headed, Process, Run, Strict, TrainConfig
from scigen.run.schema_views import ViewsConfig, ViewsNetworkConfig

__all__ = [
    "BridgeConfig", "BridgeLossConfig", "CodecConfig", "CodecLossConfig", "CodecShapeConfig", "Config", "DetailConfig",
    "ImplicitConfig", "ImplicitLossConfig", "ImplicitShapeConfig", "LatentNetworkConfig", "LossConfig",
    "MoleculeConfig", "Network", "NetworkConfig", "PointNetworkConfig", "PriorConfig", "PriorLossConfig", "RawConfig",
    "RefineConfig", "RefineLossConfig", "TrainConfig", "ViewsConfig", "ViewsNetworkConfig", "network_schema",
]  # fmt: skip


class NetworkConfig(Headed):
    """Shape of the molecule network (see `nn.transformer.TransformerConfig` and `nn.tensor_product`)."""

    kind: Literal["transformer", "e3nn"] = "transformer"
    width: int = Field(192, ge=8)
    pair: int = Field(32, ge=4)
    message: int = Field(64, ge=4)
    vectors: int = Field(16, ge=1)
    heads: int = Field(8, ge=1)
    layers: int = Field(8, ge=1)
    tensors: int = Field(8, ge=0)  # degree-2 tensors per atom, e3nn only

    @property
    def _attends(self) -> bool:
        return self.kind == "transformer"


class LossConfig(Strict):
    """Weights of the loss terms (see `domains.molecules.loss.LossConfig`)."""

    snr_cap: float = Field(25.0, gt=0)
    atom: float = Field(0.2, ge=0)
    bond: float = Field(1.0, ge=0)
    length: float = Field(2.0, ge=0)
    length_until: float = Field(0.3, ge=0, le=1)
    self_condition: float = Field(0.5, ge=0, le=1)


class RefineLossConfig(Strict):
    """Weights of the loss terms (see `domains.molecules.refine.task.RefineLoss`)."""

    snr_cap: float = Field(5.0, gt=0)
    bond: float = Field(4.0, ge=0)
    angle: float = Field(2.0, ge=0)
    at_start: float = Field(0.6, ge=0, le=1)


class CodecShapeConfig(Headed):
    """Shape of the codec of clouds (see `nn.point_encoder.CodecShape`)."""

    latents: int = Field(32, ge=4, le=512)
    feature: int = Field(32, ge=2)
    neighbours: int = Field(64, ge=8, le=2048)
    encoder_layers: int = Field(2, ge=1)
    decoder_layers: int = Field(4, ge=1)
    point_width: int = Field(64, ge=8)


class CodecLossConfig(Strict):
    """Weights of the loss terms and noise (see `domains.points.codec_loss.CodecLoss`)."""

    normal: float = Field(0.5, ge=0)
    pos_noise: float = Field(0.015, ge=0)
    feat_noise: float = Field(0.1, ge=0)
    unoriented: float = Field(0.25, ge=0, le=1)
    moved: float = Field(0.5, ge=0, le=1)
    place_noise: float = Field(0.06, ge=0)


class LatentNetworkConfig(Headed):
    """Shape of the network on latent points (see `nn.latent_transformer.LatentConfig`)."""

    categories: int = Field(64, ge=0)  # room for as many classes of shapes; the row after the last is the null class
    features: int = Field(32, ge=1)  # of the codec
    layers: int = Field(8, ge=1)
    octaves: int = Field(4, ge=0, le=12)


class PointNetworkConfig(Headed):
    """Shape of the network on raw points (see `nn.point_process.PointConfig`)."""

    categories: int = Field(64, ge=0)
    width: int = Field(128, ge=8)
    heads: int = Field(4, ge=1)
    tokens: int = Field(64, ge=1)
    rounds: int = Field(1, ge=1)
    blocks: int = Field(6, ge=0)
    octaves: int = Field(6, ge=0, le=12)


class ImplicitShapeConfig(Headed):
    """Shape of the implicit decoder (see `nn.implicit.ImplicitShape`)."""

    feature: int = Field(32, ge=2)  # of the codec
    layers: int = Field(4, ge=1)
    neighbours: int = Field(6, ge=2)
    hidden: int = Field(64, ge=8)


class PriorLossConfig(Strict):
    """Weights of the loss terms (see `domains.points.prior_task.PriorLoss`)."""

    snr_cap: float = Field(25.0, gt=0)
    feat: float = Field(1.0, ge=0)
    forget: float = Field(0.1, ge=0, le=1)
    transport: float | None = Field(None, ge=0, le=1)


class BridgeLossConfig(Strict):
    """Weights of the loss terms (see `domains.points.bridge_task.BridgeLoss`)."""

    snr_cap: float = Field(5.0, gt=0)
    feat: float = Field(1.0, ge=0)
    at_start: float = Field(0.2, ge=0, le=1)
    forget: float = Field(0.1, ge=0, le=1)


class ImplicitLossConfig(Strict):
    """What a step asks and the noise (see `domains.meshes.implicit_task.ImplicitLoss`)."""

    truncate: float = Field(0.08, gt=0)
    queries: int = Field(512, ge=1)
    pos_noise: float = Field(0.015, ge=0)
    feat_noise: float = Field(0.1, ge=0)


class MoleculeConfig(Run):
    """Train molecules: coordinates, tokens and bonds from noise."""

    domain: Literal["molecules"]
    data: str
    network: NetworkConfig = NetworkConfig()
    process: Process = "flow"
    coupling: Literal["independent", "optimal"] = "independent"
    loss: LossConfig = LossConfig()


class RefineConfig(Run):
    """Train the bridge from force-field geometries to reference ones."""

    domain: Literal["refine"]
    data: str
    network: NetworkConfig = NetworkConfig()
    loss: RefineLossConfig = RefineLossConfig()


class CodecConfig(Run):
    """Train the autoencoder of clouds, on one or several packed collections."""

    domain: Literal["points-codec"]
    data: list[str] = Field(min_length=1)
    network: CodecShapeConfig = CodecShapeConfig()
    loss: CodecLossConfig = CodecLossConfig()


class PriorConfig(Run):
    """Train the latent points of shapes, from noise, class known or not."""

    domain: Literal["points-prior"]
    data: list[str] = Field(min_length=1)
    codec: str = "points-codec"  # weights by name or file
    samples: int = Field(4, ge=1, le=1000)  # encodings of each shape, of other points of it
    network: LatentNetworkConfig = LatentNetworkConfig()
    process: Process = "flow"
    loss: PriorLossConfig = PriorLossConfig()


class BridgeConfig(Run):
    """Train the bridge from the latent points of a scan to those of the whole shape."""

    domain: Literal["points-bridge"]
    data: list[str] = Field(min_length=1)
    codec: str = "points-codec"
    scans: int = Field(8, ge=1, le=1000)  # of each shape, each from a viewpoint of its own
    start: Literal["observed", "remembered", "noise"] = "observed"  # noise: no bridge, the diffusion it is set against
    memory: int = Field(6144, ge=2)  # shapes remembered, 1.3 kB of the weights file each; with `start: remembered`
    network: LatentNetworkConfig = LatentNetworkConfig()
    loss: BridgeLossConfig = BridgeLossConfig()


class ImplicitConfig(Run):
    """Train signed distances asked of the latent points of closed meshes."""

    domain: Literal["meshes-implicit"]
    data: list[str] = Field(min_length=1)  # `procedural`, or folders of closed meshes
    codec: str = "points-codec"
    objects: int = Field(200, ge=1)  # of each generated family
    places: int = Field(4096, ge=16)  # of each shape where the distance is known
    network: ImplicitShapeConfig = ImplicitShapeConfig()
    loss: ImplicitLossConfig = ImplicitLossConfig()


class DetailConfig(Run):
    """Train the bridge from the latent points of a coarse mesh to those of the detailed one."""

    domain: Literal["meshes-detail"]
    data: list[str] = Field(min_length=1)  # `procedural`, or folders of closed meshes
    codec: str = "points-codec"
    objects: int = Field(200, ge=1)  # of each generated family
    versions: int = Field(4, ge=1, le=1000)  # coarse ones of each mesh
    network: LatentNetworkConfig = LatentNetworkConfig()
    loss: BridgeLossConfig = BridgeLossConfig()


class RawConfig(Run):
    """Train raw points from noise: the baseline without a codec."""

    domain: Literal["points-raw"]
    data: list[str] = Field(min_length=1)
    points: int = Field(1024, ge=16, le=16384)  # of each shape in a step
    network: PointNetworkConfig = PointNetworkConfig()
    process: Process = "flow"
    loss: PriorLossConfig = PriorLossConfig()


Network: TypeAlias = (
    NetworkConfig
    | CodecShapeConfig
    | LatentNetworkConfig
    | PointNetworkConfig
    | ImplicitShapeConfig
    | ViewsNetworkConfig
)
Config: TypeAlias = (
    MoleculeConfig
    | RefineConfig
    | CodecConfig
    | PriorConfig
    | BridgeConfig
    | RawConfig
    | ImplicitConfig
    | DetailConfig
    | ViewsConfig
)


def network_schema(domain: str) -> type[Network]:
    """What the networks of a domain are described by. Raises `ValueError` for a domain without a config."""
    for schema in get_args(Config):
        if domain in get_args(schema.model_fields["domain"].annotation):
            return schema.model_fields["network"].annotation
    raise ValueError(f"unknown domain {domain!r}")
