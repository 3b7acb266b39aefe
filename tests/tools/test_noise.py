import tensorflow as tf

from planet.tools import noise


def test_noise_is_a_function_of_the_seed():
    def draw(seed):
        with noise.stream(seed):
            return noise.normal([5]), noise.uniform([5]), noise.normal([5])

    first, again, other = draw([1, 2]), draw([1, 2]), draw([1, 3])
    graph = tf.function(draw)(tf.constant([1, 2]))
    for a, b, c, d in zip(first, again, other, graph, strict=True):
        assert a.numpy().tolist() == b.numpy().tolist() == d.numpy().tolist()
        assert a.numpy().tolist() != c.numpy().tolist()
    assert first[0].numpy().tolist() != first[2].numpy().tolist()


def test_noise_without_a_stream_differs_between_draws():
    draw = tf.function(lambda: noise.normal([5]))
    assert draw().numpy().tolist() != draw().numpy().tolist()
    assert noise.seed().shape == (2,)


def test_seeds_go_on_after_a_checkpoint(tmp_path):
    seeds = noise.Seeds(3_000_000_000)
    first = [seeds.next().tolist() for _ in range(3)]
    assert len({tuple(seed) for seed in first}) == 3
    path = tf.train.Checkpoint(seeds=seeds).write(str(tmp_path / "ckpt"))
    expected = seeds.next().tolist()
    restored = noise.Seeds(1)
    tf.train.Checkpoint(seeds=restored).read(path).assert_consumed()
    assert restored.next().tolist() == expected
