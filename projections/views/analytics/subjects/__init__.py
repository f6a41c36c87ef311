"""What is counted of commands, visits to queues and webhooks, each as a subject of figures."""
