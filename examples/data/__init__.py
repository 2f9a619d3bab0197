"""The example conversations, installed as `seal_agent.example_data` so that the demo finds them wherever seal-agent came from."""
