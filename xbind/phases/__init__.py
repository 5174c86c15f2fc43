"""The three phases of Algorithm 1: each knows its terms and weights, none knows who watches."""
