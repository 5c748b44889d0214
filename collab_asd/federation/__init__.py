"""What all methods share of Flower: roster, grid, client data, scores, results, engines."""
