"""vLLM as a policy that generates: any Hugging Face folder, tokens in and tokens out."""
