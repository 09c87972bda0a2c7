"""Guards of the product taken out one at a time: for each, a test that must turn red."""
