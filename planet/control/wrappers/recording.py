"""Recording of episodes to files."""

import gymnasium
import numpy as np

from planet.tools import episode_files


class Record(gymnasium.Wrapper):
    """Writes each episode that starts with `reset(options={"record_to": folder})`.

    The option `record_as` chooses the name of its file.

    The action at t leads to the observation and reward at t; entry 0 holds the reset
    observation with zero action and zero reward. So the arrays of an episode of N
    decisions have N + 1 entries. They are the observations by name, `action` and
    `reward`.
    """

    def __init__(self, env: gymnasium.Env):
        super().__init__(env)
        self._folder = self._name = None
        self._entries = []

    def reset(self, *, seed: int | None = None, options: dict | None = None) -> tuple:
        """Starts an episode, to be written to the folder `options["record_to"]`."""
        options = dict(options or {})
        self._folder = options.pop("record_to", None)
        self._name = options.pop("record_as", None)
        observation, info = self.env.reset(seed=seed, options=options)
        nothing = np.zeros(self.action_space.shape)
        self._entries = [self._entry(observation, nothing, 0)]
        return observation, info

    def step(self, action: np.ndarray) -> tuple:
        """Writes the episode at its end; then `info["episode_file"]` is its path."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        if self._folder:
            self._entries.append(self._entry(observation, action, reward))
            if terminated or truncated:
                info = {**info, "episode_file": self._write()}
        return observation, reward, terminated, truncated, info

    def _entry(self, observation, action, reward):
        action = np.array(action, self.action_space.dtype)
        return {**observation, "action": action, "reward": np.float32(reward)}

    def _write(self):
        names = self._entries[0]
        episode = {name: np.stack([e[name] for e in self._entries]) for name in names}
        folder, self._folder = self._folder, None
        return episode_files.write(folder, episode, self._name)
