"""The fixed network, its parameters, and the teacher."""
