"""Guidance: from one denoiser to another, and samples that agree with what is known."""
