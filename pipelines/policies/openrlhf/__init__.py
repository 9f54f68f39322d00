"""Rollout by vLLM and update by OpenRLHF, in Ray actors that stay alive between stages."""
