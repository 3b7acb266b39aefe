"""Files as TensorFlow 1 writes them."""

import tensorflow as tf


def write_tf1_checkpoint(path, weights):
    """Saves variables as TensorFlow 1 does, along with optimizer slots."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        create = tf.compat.v1.get_variable
        zeros = tf.compat.v1.zeros_initializer()
        variables = []
        for name, value in weights.items():
            name, kind = name.removesuffix(":0"), (value.shape, value.dtype, zeros)
            variables.append(create(name, *kind, use_resource=False))
            create(f"{name}/Adam", *kind)
        create("global_step", initializer=1000)
        session.run(tf.compat.v1.global_variables_initializer())
        # Not as initial values, of which the graph would hold copies.
        for variable, value in zip(variables, weights.values(), strict=True):
            variable.load(value, session)
        return tf.compat.v1.train.Saver().save(session, str(path))
