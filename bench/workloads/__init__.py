"""What the families call: engines, pipelines and modes, inputs, peers, cold starts."""
