"""The world model: encoder, latent transition model, heads, losses and optimizers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import ml_collections
import tensorflow as tf

from planet.models import base, clockwork, paired
from planet.networks import basic, dense, policy, precision
from planet.tools import (
    devices,
    extensions,
    noise,
    overshooting,
    preprocess,
    replicas,
    tf1_checkpoint,
    time_agnostic,
    unroll,
)
from planet.tools import mask as mask_lib
from planet.training import marwil


def define_model(
    config: ml_collections.ConfigDict, data_spec: Mapping[str, tuple[int, ...]]
) -> Model:
    """Builds the model of a configuration, with all its variables.

    Args:
      config: what `planet.scripts.configs.load` returns.
      data_spec: shape of one step of each entry of the data: `image` (or `state`, as
        `config.observations` says), `action`, `reward` and the diagnostics, for
        example {'image': (64, 64, 3), 'action': (6,), 'reward': (), 'position': (8,)}.

    Returns:
      The model, ready to be trained, restored or used.
    """
    devices.prepare(config.tf32)
    products = precision.resolve(config.precision)
    with precision.scope(products):
        cell, encoder, heads, tap_cell = _define_parts(config, data_spec)
        behavior = _define_behavior(config, data_spec)
    model = Model(cell, encoder, heads, config, tap_cell, products, *behavior)
    model.build(data_spec)
    return model


def _define_parts(
    config: ml_collections.ConfigDict, data_spec: Mapping[str, tuple[int, ...]]
) -> tuple:
    """Cell, encoder, heads by name, and time-agnostic cell or None."""
    cell = _define_cell(config.cell_class, config)
    tap_cell = _define_cell(config.tap_class, config) if config.tap_class else None
    units = 10 if config.dumbnet else config.num_units
    layers = config.num_layers, units, config.activation
    heads = {
        key: basic.FeedForward(shape, *layers)
        for key, shape in data_spec.items()
        if key not in ("image", "action")
    }
    if config.observations == "image":
        network = extensions.load(config.network_module)
        decoder = {**config, "shape": data_spec["image"]}
        heads["image"] = _from_settings(network.Decoder, decoder)
        encoder = _from_settings(network.Encoder, config)
    else:
        encoder = dense.Encoder(*layers)
    return cell, encoder, heads, tap_cell


def _define_behavior(
    config: ml_collections.ConfigDict, data_spec: Mapping[str, tuple[int, ...]]
) -> tuple[policy.Policy | None, basic.FeedForward | None]:
    """Policy and value, each None if it is not wanted.

    Beside a clockwork, their layers are as large as all of its beliefs together.
    """
    sizes = config.model_size
    units = sizes if isinstance(sizes, int) else sum(sizes)
    actor = value = None
    if config.use_policy:
        (size,) = data_spec["action"]
        kind = config.stoch_policy, config.discrete_action
        actor = policy.Policy(size, units, config.activation, *kind)
    if config.use_value:
        value = basic.FeedForward((), policy.LAYERS, units, config.activation)
    return actor, value


def _define_cell(class_name: str, config: ml_collections.ConfigDict) -> base.Base:
    """The cell of a class `module:name`; lists of sizes make a clockwork of it."""
    cell_class = extensions.load(class_name)
    if isinstance(config.state_size, int):
        return _from_settings(cell_class, config)
    sizes = zip(config.state_size, config.model_size, strict=True)
    cells = [
        _from_settings(
            cell_class, {**config, "state_size": state, "model_size": belief}
        )
        for state, belief in sizes
    ]
    return clockwork.Clockwork(cells, config.cw_tau)


def _from_settings(part: Callable, settings: Mapping[str, Any]) -> Any:
    """A part of the model, built from the settings with the names of its arguments."""
    return part(**extensions.arguments(part, settings))


# Parts that learn from the model what to do; each has an optimizer of its own.
BEHAVIOR = ("policy", "value")
# Scales of the loss terms that are methods of `Model`, by the names of both.
LOSS_TERMS: dict[str, str] = {}


def loss_term(scale: str) -> Callable[[Callable], Callable]:
    """Makes a method of `Model` a term of the loss, which has the method's name.

    The method receives a batch of data, as for `Model.losses`, and what `Model.filter`
    makes of it, and returns a scalar.

    Args:
      scale: name of the setting by which the term is multiplied in the total.
    """

    def mark(method):
        LOSS_TERMS[method.__name__] = scale
        return method

    return mark


class Filtered(NamedTuple):
    """What a model makes of a batch of sequences that it sees.

    Attributes:
      embedded: encoded observations, [B, T, E].
      prior: states before seeing each step, entries [B, T, ...].
      posterior: states after seeing it, entries [B, T, ...].
      mask: which steps are valid, bool [B, T].
    """

    embedded: tf.Tensor
    prior: base.State
    posterior: base.State
    mask: tf.Tensor


class Model(tf.Module):
    """Latent dynamics model with the losses and optimizers that train it.

    Args:
      cell: latent transition model.
      encoder: embeds observations, such as images [..., H, W, C], as vectors [..., E].
      heads: distribution over the target of that name, from features [..., F].
      config: scales, overshooting distance, optimizer settings.
      tap_cell: cell of the time-agnostic predictor, if there is to be one.
      products: precision in which the layers multiply, for the table.
      actor: distribution over the next action, from features, if there is to be one.
      value: distribution over the return, from features, if there is to be one.

    Attributes:
      policy: acts on states of `acting_cell`; None without an actor.
    """

    def __init__(
        self,
        cell: base.Base,
        encoder: keras.layers.Layer,
        heads: dict[str, keras.layers.Layer],
        config: ml_collections.ConfigDict,
        tap_cell: base.Base | None = None,
        products: str = "float32",
        actor: policy.Policy | None = None,
        value: keras.layers.Layer | None = None,
    ):
        super().__init__(name="model")
        self._products = products
        self.cell = cell
        self.tap_cell = tap_cell
        self.encoder = encoder
        self.heads = heads
        self._config = config
        trained = [key for key in heads if key in config.gradient_heads]
        self._diagnostics = [key for key in heads if key not in trained]
        behavior = zip(BEHAVIOR, (actor, value), strict=True)
        self._behavior = {key: part for key, part in behavior if part}
        self._marwil = marwil.Marwil(actor, value, config) if self._behavior else None
        self.policy = policy.Actor(actor, self._acting_features) if actor else None
        epsilons = dict.fromkeys(["model", *self._diagnostics], config.adam_epsilon)
        epsilons |= {key: config[f"{key}_adam"] for key in self._behavior}
        self.optimizers = {
            key: keras.optimizers.Adam(0.0, epsilon=epsilon)
            for key, epsilon in epsilons.items()
        }
        self._terms = replicas.part(self._terms_and_states, config.jit)
        self._descend = replicas.part(self._descend_by, config.jit)

    @property
    def variables_by_optimizer(self) -> dict[str, list[keras.Variable]]:
        """Trained variables by the optimizer in charge.

        These are one for the model, and those of diagnostic heads, policy and value.
        """
        groups = {key: [] for key in self.optimizers}
        for name, part in self.parts.items():
            key = name.removeprefix("head_")
            group = groups[key if key in groups else "model"]
            group.extend(part.trainable_variables)
        return groups

    @property
    def trainable_variables(self) -> list[keras.Variable]:
        """All variables of encoder, cell, heads, policy and value."""
        return [v for group in self.variables_by_optimizer.values() for v in group]

    @property
    def state(self) -> list[keras.Variable | tf.Variable]:
        """All that an update changes."""
        optimizers = (x for o in self.optimizers.values() for x in o.variables)
        moving = self._marwil.variables if self._marwil else ()
        return [*self.trainable_variables, *optimizers, *moving]

    @property
    def observation(self) -> str:
        """Which entry of the data the model sees and draws."""
        return self._config.observations

    @property
    def parts(self) -> dict[str, keras.layers.Layer]:
        """What the model consists of, by name."""
        parts = {"encoder": self.encoder, "cell": self.cell}
        if self.tap_cell:
            parts["tap_cell"] = self.tap_cell
        parts |= {f"head_{key}": head for key, head in self.heads.items()}
        return parts | self._behavior

    @property
    def acting_cell(self):
        """The cell with which to filter and plan; see `imagined_reward`."""
        return paired.Paired(self.cell, self.tap_cell) if self.tap_cell else self.cell

    def table(self) -> str:
        """The parts of the model, with what they are, and how large, one a line."""
        rows = [("part", "parameters", "kind")]
        for name, part in self.parts.items():
            kind = type(part).__name__
            if isinstance(part, base.Base):
                sizes = (f"{key} {size}" for key, size in part.state_sizes.items())
                kind = f"{kind} of {', '.join(sizes)}"
            rows.append((name, f"{_count(part.trainable_variables):,}", kind))
        total = f"{_count(self.trainable_variables):,}"
        rows.append(("all", total, f"products in {self._products}"))
        return "\n".join(f"{a:<20} {b:>12}  {c}".rstrip() for a, b, c in rows)

    def build(self, data_spec: Mapping[str, tuple[int, ...]]) -> None:
        """Creates the variables of all layers and optimizers."""
        action = tf.zeros([1, *data_spec["action"]])
        embedded = self._encode(
            {self.observation: tf.zeros([1, *data_spec[self.observation]])}
        )
        for cell in filter(None, (self.cell, self.tap_cell)):
            _, posterior = cell.observe(cell.zero_state(1), action, embedded)
            features = cell.features_from_state(posterior)
        for head in (*self.heads.values(), *self._behavior.values()):
            head(features)
        for key, variables in self.variables_by_optimizer.items():
            self.optimizers[key].build(variables)
        # Checkpoints find these; they do not look into the lists of Keras' layers.
        self.weights = tf1_checkpoint.names(self)

    def prepare(self, data: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What environments show, or episodes hold, as the model wants to see it.

        It belongs inside compiled functions: images cross to the device as uint8.
        """
        data = {key: tf.convert_to_tensor(value) for key, value in data.items()}
        return preprocess.prepare(data, self._config.image_bits)

    def embed(self, observation: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Embedded observations [..., E] from what environments show, entries [...]."""
        return self._encode(self.prepare(observation))

    def filter(self, data: Mapping[str, tf.Tensor]) -> Filtered:
        """Encodes a batch of prepared data and infers the states behind it."""
        embedded = self._encode(data)
        prior, posterior = unroll.closed_loop(self.cell, embedded, data["action"])
        mask = mask_lib.from_length(data["length"], data["action"].shape[1])
        return Filtered(embedded, prior, posterior, mask)

    def _encode(self, data: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Embedded observations, float32 [..., E], of prepared data."""
        return tf.cast(self.encoder(data[self.observation]), tf.float32)

    def losses(
        self, data: Mapping[str, tf.Tensor], seed: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Loss terms of a batch, not yet scaled, and their scaled sum.

        Args:
          data: the observations, such as `image` [B, T, H, W, C], as recorded (uint8)
            or prepared; `action` [B, T, A], leading to the observation of the same
            index; `length` [B], valid steps; the targets of all heads, [B, T, ...].
            With a value, also `return` [B, T], see `marwil`.
          seed: integers [2] that determine all noise.

        Returns:
          Scalars by name: `zero_step/...`, `overshooting/...`, `time_agnostic/...`
          and `total`. The last is without policy and value if they are detached.
        """
        return self.evaluate(data, seed)[0]

    def evaluate(
        self, data: Mapping[str, tf.Tensor], seed: tf.Tensor | None = None
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Losses as above, and what else is worth watching.

        Args:
          data: as for `losses`.
          seed: as for `losses`.

        Returns:
          Losses, and metrics: mean entropies of prior and posterior and the divergence
          between them before free nats, in nats per step; and those of `marwil`.
        """
        return replicas.mean(self._shares(data, seed))

    def _shares(self, data, seed) -> tuple[dict, dict]:
        """What `evaluate` returns, as the mean over the replicas of what each returns.

        The data is this replica's share of a batch.
        """
        terms, metrics, posterior, data, mask = self._terms(data, seed)
        if self.tap_cell:
            steps = replicas.Valid(time_agnostic.has_later(mask))
            for key in self.heads:
                errors = terms[f"time_agnostic/{key}"]
                terms[f"time_agnostic/{key}"] = steps.mean(errors)
        behavior, more = self._behavior_losses(posterior, data, mask)
        joined = terms if self._config.detach_policy else {**terms, **behavior}
        total = sum(self._scale(key) * value for key, value in joined.items())
        return {**terms, **behavior, "total": total}, {**metrics, **more}

    def _terms_and_states(self, data, seed) -> tuple:
        """What there is but for policy and value.

        Returns:
          Loss terms, scalars but for the errors [B, T] of `time_agnostic`; metrics;
          posteriors, entries [B, T, ...]; the prepared data; which steps are valid,
          bool [B, T].
        """
        config = self._config
        with noise.stream(seed):
            data = self.prepare(data)
            filtered = self.filter(data)
            embedded, prior, posterior, mask = filtered
            if config.overshooting > 1:
                predictions = overshooting.overshooting(
                    self.cell, posterior, data["action"], config.overshooting
                )
            if self.tap_cell:
                _, tap_posterior = unroll.closed_loop(
                    self.tap_cell, embedded, data["action"]
                )
        errors = self._errors(posterior, data, mask)
        terms = {f"zero_step/{k}": tf.reduce_mean(v) for k, v in errors.items()}
        for name in LOSS_TERMS:
            terms[f"zero_step/{name}"] = getattr(self, name)(data, filtered)
        if config.overshooting > 1:
            terms |= self._overshooting_losses(predictions, posterior, data, mask)
        if self.tap_cell:
            terms |= self._time_agnostic_losses(
                self.tap_cell, tap_posterior, data, mask
            )
        divergence = self.cell.divergence_from_states(posterior, prior, mask)
        metrics = {
            "zs_entropy": _mean_of_sequences(self._entropy(posterior, mask), mask),
            "zs_prior_entropy": _mean_of_sequences(self._entropy(prior, mask), mask),
            "zs_divergence": _mean_of_sequences(divergence, mask),
        }
        return terms, metrics, posterior, data, mask

    def update(
        self,
        data: Mapping[str, tf.Tensor],
        learning_rate: tf.Tensor,
        seed: tf.Tensor | None = None,
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """One step of gradient descent on all parts of the model.

        Args:
          data: as for `losses`.
          learning_rate: scalar, for all but policy and value, which have their own.
          seed: as for `losses`.

        Returns:
          Losses and metrics as of `evaluate`, before the step; the metrics hold the
          norm of each optimizer's gradient before clipping too.
        """
        with tf.GradientTape() as tape:
            losses, metrics = self._shares(data, seed)
        targets = [losses["total"]]
        if self._config.detach_policy:
            targets += [losses[f"zero_step/{key}"] for key in self._behavior]
        gradients = tape.gradient(targets, self.variables_by_optimizer)
        gradients, losses, metrics = replicas.mean((gradients, losses, metrics))
        if self._marwil:
            self._marwil.learned(metrics)
        norms = self._descend(gradients, learning_rate)
        for optimizer in self.optimizers.values():
            optimizer.iterations.assign_add(1)
        return losses, metrics | norms

    def _descend_by(self, gradients, learning_rate) -> dict[str, tf.Tensor]:
        """Changes the weights by the gradients of each optimizer; returns their norms.

        Optimizers count their steps elsewhere.
        """
        norms = {}
        rates = {key: self._config[f"{key}_lr"] for key in self._behavior}
        for key, variables in self.variables_by_optimizer.items():
            clipped, norms[f"gradient_norm/{key}"] = tf.clip_by_global_norm(
                gradients[key], self._config.gradient_clipping
            )
            # Not by `apply`, which keeps the graph of each compiled update forever.
            rate = rates.get(key, learning_rate)
            for gradient, variable in zip(clipped, variables, strict=True):
                if gradient is not None:
                    self.optimizers[key].update_step(gradient, variable, rate)
        return norms

    @loss_term("divergence_scale")
    def divergence(self, data, filtered: Filtered) -> tf.Tensor:
        """KL(posterior || prior) beyond the free nats, scalar."""
        _, prior, posterior, mask = filtered
        divergence = self.cell.divergence_from_states(posterior, prior, mask)
        return self._beyond_free_nats(divergence, mask)

    @loss_term("global_divergence_scale")
    def global_divergence(self, data, filtered: Filtered) -> tf.Tensor:
        """KL(posterior || N(0, I)), scalar."""
        divergence = self.cell.global_divergence(filtered.posterior, filtered.mask)
        return _mean_of_sequences(divergence, filtered.mask)

    def imagined_reward(self, state: base.State) -> tf.Tensor:
        """Mean of the reward, [B, ...], of states [B, ..., S] of the acting cell.

        With a time-agnostic predictor, it is lowered where that and the cell disagree
        on the state, by at most the standard deviation of the rewards imagined for the
        same environment, of which there are B.
        """
        if not self.tap_cell:
            return self._reward(state)
        rewards = self._reward(state["cell"])
        divergence = self.cell.divergence_from_states(state["cell"], state["tap"])
        disagreement = divergence / state["cell"]["mean"].shape[-1]
        scale = 2 * (tf.sigmoid(disagreement) - 0.5)
        imagined = list(range(1, rewards.shape.rank))
        return rewards - scale * tf.math.reduce_std(rewards, imagined, keepdims=True)

    def decode(self, state: base.State) -> dict[str, tf.Tensor]:
        """What the model expects to be seen and paid in states of the acting cell.

        Args:
          state: entries [..., S].

        Returns:
          The mean of each head's distribution, [..., ...]; images as uint8.
        """
        features = self._acting_features(state)
        decoded = {key: head(features).mean() for key, head in self.heads.items()}
        if "image" in decoded:
            bits = self._config.image_bits
            decoded["image"] = preprocess.postprocess(decoded["image"], bits)
        return decoded

    def _reward(self, state: base.State) -> tf.Tensor:
        """Mean of the reward, [...], of states [..., S] of the cell."""
        return self.heads["reward"](self.cell.features_from_state(state)).mean()

    def _acting_features(self, state) -> tf.Tensor:
        """Features [..., F] of states [..., S] of the acting cell."""
        return self.cell.features_from_state(state["cell"] if self.tap_cell else state)

    def _errors(self, posterior, data, mask, skip=None) -> dict[str, tf.Tensor]:
        """Terms that depend on nothing but the posterior, [B, T], 0 where masked.

        These are the negative log likelihood of each head's target and, where it is
        asked for, the divergence between parts of the cell.
        """
        features = self.cell.features_from_state(posterior)
        stopped = tf.stop_gradient(features)
        errors = {}
        for key, head in self.heads.items():
            if key != skip:
                dist = head(stopped if key in self._diagnostics else features)
                errors[key] = mask_lib.apply(-dist.log_prob(data[key]), mask)
        if self._scale("zero_step/cell_as_prior"):
            errors["cell_as_prior"] = self.cell.internal_divergence(posterior, mask)
        return errors

    def _overshooting_losses(
        self, predictions, posterior, data, mask
    ) -> dict[str, tf.Tensor]:
        """Terms of latent overshooting, Hafner et al. 2019, equation 7.

        The posterior is a fixed target here: only priors and heads learn from it. The
        heads see that of the predicted time whatever the distance, so their errors are
        computed once and counted as often as their time is predicted.
        """
        target = tf.nest.map_structure(tf.stop_gradient, posterior)
        amount, steps = self._config.overshooting, mask.shape[1]
        visits = tf.minimum(tf.range(steps), amount)
        weights = tf.cast(visits, tf.float32) / (steps * amount)
        batch = tf.cast(tf.shape(mask)[0], tf.float32)
        terms = {
            f"overshooting/{key}": tf.reduce_sum(error * weights) / batch
            for key, error in self._errors(
                target, data, mask, skip=self.observation
            ).items()
        }
        divergences = []
        for distance, prior in enumerate(predictions[1:], 1):
            later = tf.nest.map_structure(lambda entry: entry[:, distance:], target)  # noqa: B023
            valid = mask[:, distance:]
            divergence = self.cell.divergence_from_states(later, prior, valid)
            divergences.append(self._beyond_free_nats(divergence, valid))
        terms["overshooting/divergence"] = tf.reduce_mean(tf.stack(divergences))
        return terms

    def _time_agnostic_losses(
        self, cell, posterior, data, mask
    ) -> dict[str, tf.Tensor]:
        """Errors [B, T] of predictions that may come true at any later step.

        Each step's posterior is decoded, and the error is the smallest with regard to
        the targets of strictly later valid steps. It counts where there is one.
        """
        features = cell.features_from_state(posterior)
        stopped = tf.stop_gradient(features)
        terms = {}
        for key, head in self.heads.items():
            mean = head(stopped if key in self._diagnostics else features).mean()
            errors = time_agnostic.pairwise_errors(mean, data[key])
            best = time_agnostic.best_later_errors(errors, mask)
            terms[f"time_agnostic/{key}"] = best
        terms["time_agnostic/global_divergence"] = _mean_of_sequences(
            cell.global_divergence(posterior, mask), mask
        )
        return terms

    def _behavior_losses(self, posterior, data, mask) -> tuple[dict, dict]:
        """Terms of policy and value, and their metrics."""
        if self._marwil is None:
            return {}, {}
        features = self.cell.features_from_state(posterior)
        if self._config.detach_policy:
            features = tf.stop_gradient(features)
        losses, metrics = self._marwil.evaluate(features, data, mask)
        return {f"zero_step/{key}": loss for key, loss in losses.items()}, metrics

    def _beyond_free_nats(self, divergence, mask) -> tf.Tensor:
        """Mean divergence beyond the free nats, scalar, from nats [B, T]."""
        return _mean_of_sequences(
            tf.maximum(divergence, float(self._config.free_nats)), mask
        )

    def _entropy(self, state, mask) -> tf.Tensor:
        """Entropy of states in nats, [B, T]."""
        return self.cell.dist_from_state(state, mask).entropy()

    def _scale(self, term: str) -> float:
        """Weight of a loss term in the total."""
        group, key = term.split("/")
        config = self._config
        scales = {
            self.observation: config.image_loss_scale,
            "reward": config.reward_scale,
            "cell_as_prior": config.cell_as_prior,
        }
        scales |= {name: config[scale] for name, scale in LOSS_TERMS.items()}
        if group == "overshooting":
            scales["reward"] = config.overshooting_reward_scale
        return scales.get(key, 1.0)


def _count(variables: list[keras.Variable]) -> int:
    """Number of parameters."""
    return sum(math.prod(variable.shape) for variable in variables)


def _mean_of_sequences(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Mean over the valid steps of each sequence, then over the batch."""
    return tf.reduce_mean(mask_lib.mean(values, mask, 1))
