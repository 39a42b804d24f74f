"""Azure ML before a run: addresses, config.json, ARM, the places it runs in, signing in, the plugin's health.

Nothing here imports azureml or azure at module level: this is read by code that serves every other store too.
"""
