"""Who signs in to Azure, the token, and the plugin that uses it."""
